# SPDX-License-Identifier: Apache-2.0
"""What a request asks of the Shared File Systems API: by whom, and at which version."""

import re
from dataclasses import dataclass
from typing import Any

import falcon

from common.ids import new_request_id
from services.companion.identity.callers import Caller
from services.companion.identity.roles import SERVICE
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

ROOT = "/share"
BASE = f"{ROOT}/v2"
OLDEST, NEWEST = 9, 82
HEADER = "X-OpenStack-Manila-API-Version"


@dataclass(frozen=True)
class ShareCall:
    """One request, after its token and version were understood."""

    caller: Caller
    minor: int
    base_url: str

    @property
    def sees_everything(self) -> bool:
        """Whether the caller may see what belongs to any project."""
        return self.caller.is_service or self.caller.reads_everything

    @property
    def context(self) -> str:
        """As what the caller locks things: `service`, `admin` or `user`."""
        if SERVICE in self.caller.token.role_names:
            return "service"
        return "admin" if self.caller.is_admin else "user"

    def owns(self, row: dict[str, Any]) -> bool:
        """Whether something is of the caller's project, or the caller may act for any."""
        return self.caller.is_service or row["project_id"] == self.caller.project_id

    def at_least(self, minor: int) -> bool:
        """Whether the request is of version 2.`minor` or later."""
        return self.minor >= minor

    def needs(self, minor: int) -> None:
        """Raise Fault 404 for a request of a version before 2.`minor`."""
        if self.minor < minor:
            raise Fault(404, f"API version '2.{self.minor}' is not supported on this method.")


class ShareCalls:
    """falcon middleware: puts a `ShareCall` into `req.context.share`. Comes after `Callers`."""

    def process_request(self, req: falcon.Request, _: falcon.Response) -> None:
        """Agree on a version. Raises Fault 400, 404 or 406."""
        if not _is_ours(req):
            return
        req.context.request_id = new_request_id()
        req.context.share_minor = OLDEST
        if req.path in (ROOT, BASE):
            return  # here clients of a newer version learn which to ask for
        req.context.share_minor = negotiate(req.get_header(HEADER))
        # A name left out of a path, as in GET /v2/shares/, must not mean all of them.
        if req.env["PATH_INFO"].endswith("/"):
            raise Fault(404, "The resource could not be found.")

    def process_resource(
        self, req: falcon.Request, _: falcon.Response, __: Any, ___: dict[str, Any]
    ) -> None:
        """Note who asks, and at which version."""
        if _is_ours(req) and "caller" in req.context:
            context = req.context
            context.share = ShareCall(context.caller, context.share_minor, context.base_url)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _: Any, __: bool
    ) -> None:
        """Say which version answered."""
        if _is_ours(req) and "share_minor" in req.context:
            resp.set_header(HEADER, f"2.{req.context.share_minor}")
            resp.append_header("Vary", HEADER)
            resp.set_header("x-openstack-request-id", req.context.request_id)


def call_of(req: falcon.Request) -> ShareCall:
    """What the request asks."""
    call: ShareCall = req.context.share
    return call


def negotiate(asked: str | None) -> int:
    """The minor version to answer with. Raises Fault 400 or 406."""
    if asked is None:
        return OLDEST
    if asked.strip().lower() == "latest":
        return NEWEST
    number = re.fullmatch(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", asked.strip())
    if number is None:
        words = "is of invalid format. Must be of format MajorNum.MinorNum."
        raise Fault(400, f"API Version String {shown(asked)} {words}")
    if number[1] != "2" or not OLDEST <= int(number[2]) <= NEWEST:
        raise Fault(
            406,
            f"Version {number[0]} is not supported by the API. Minimum is 2.{OLDEST} and maximum "
            f"is 2.{NEWEST}.",
        )
    return int(number[2])


def _is_ours(req: falcon.Request) -> bool:
    return req.path == ROOT or req.path.startswith(f"{ROOT}/")

# SPDX-License-Identifier: Apache-2.0
"""What a request asks of the Block Storage API: by whom, for which project, at which version.

Paths may carry a project's id (`/v3/{project}/volumes`); it is taken out before routing, so that
each resource is routed once. A project of somebody else's needs an administrator or a service,
which then acts for that project.
"""

import re
from dataclasses import dataclass
from typing import Any

import falcon

from common.ids import new_request_id
from services.companion.identity.callers import Caller
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

ROOT = "/volume"
BASE = f"{ROOT}/v3"
OLDEST, NEWEST = 0, 71
HEADER = "OpenStack-API-Version"

_PROJECT = re.compile(rf"{BASE}/([0-9a-f][0-9a-f-]{{0,63}})(/.*)?")
_SERVICES = ("volume", "volumev3", "block-storage")


@dataclass(frozen=True)
class VolumeCall:
    """One request, after its token, project and version were understood.

    `is_vouched_for`: it comes through a service, which acts for the caller.
    """

    caller: Caller
    minor: int
    project_id: str | None
    request_id: str
    base_url: str
    is_vouched_for: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether the caller may act on what belongs to any project: services may, too."""
        return self.caller.is_service

    @property
    def sees_everything(self) -> bool:
        """Whether the caller may see what belongs to any project."""
        return self.caller.is_service or self.caller.reads_everything

    @property
    def own_project(self) -> str:
        """The project that the request is for. Raises Fault 403 when it is for none."""
        if self.project_id is None:
            raise Fault(403, "This needs a project: in the token, or in the path.")
        return self.project_id

    def at_least(self, minor: int) -> bool:
        """Whether the request is of version 3.`minor` or later."""
        return self.minor >= minor

    def needs(self, minor: int) -> None:
        """Raise Fault 404 for a request of a version before 3.`minor`."""
        if self.minor < minor:
            raise Fault(404, f"API version '3.{self.minor}' is not supported on this method.")

    def must_write(self) -> None:
        """Raise Fault 403 for those who may only read."""
        self.caller.must_write()

    def must_be_admin(self) -> None:
        """Raise Fault 403 for anybody but an administrator or a service."""
        if not self.is_admin:
            raise Fault(403, "Policy doesn't allow this to be performed.")

    def links(self, path: str) -> list[dict[str, str]]:
        """The links of a resource, `path` being `volumes/<id>` or such."""
        project = f"{self.project_id}/" if self.project_id else ""
        return [
            {"rel": "self", "href": f"{self.base_url}{BASE}/{project}{path}"},
            {"rel": "bookmark", "href": f"{self.base_url}{ROOT}/{project}{path}"},
        ]


class VolumeCalls:
    """falcon middleware: puts a `VolumeCall` into `req.context.volume`. Comes after `Callers`."""

    def process_request(self, req: falcon.Request, _: falcon.Response) -> None:
        """Take the project out of the path; agree on a version. Raises Fault 400 or 406."""
        if not _is_ours(req):
            return
        req.context.request_id = new_request_id()
        req.context.volume_project = None
        named = _PROJECT.fullmatch(req.path)
        if named is not None:
            req.context.volume_project = named[1]
            req.path = BASE + (named[2] or "")
        req.context.volume_minor = OLDEST
        req.context.volume_minor = negotiate(req.get_header(HEADER))
        # A name left out of a path, as in DELETE /v3/volumes/, must not mean all of them.
        if req.env["PATH_INFO"].endswith("/") and req.path not in (ROOT, BASE):
            raise Fault(404, "The resource could not be found.")

    def process_resource(
        self, req: falcon.Request, _: falcon.Response, resource: Any, __: dict[str, Any]
    ) -> None:
        """Note for which project the caller acts. Raises Fault 400."""
        if not _is_ours(req) or "caller" not in req.context:
            return
        caller: Caller = req.context.caller
        project = req.context.volume_project or caller.project_id
        if project != caller.project_id and not caller.is_service:
            raise Fault(400, "Malformed request url")
        req.context.volume = VolumeCall(
            caller,
            req.context.volume_minor,
            project,
            req.context.request_id,
            req.context.base_url,
            bool(req.context.get("is_vouched_for")),
        )

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _: Any, __: bool
    ) -> None:
        """Say which version answered: Tempest fails an answer that does not."""
        if not _is_ours(req) or "volume_minor" not in req.context:
            return
        resp.set_header(HEADER, f"volume 3.{req.context.volume_minor}")
        resp.append_header("Vary", HEADER)
        resp.set_header("x-openstack-request-id", req.context.request_id)
        resp.set_header("x-compute-request-id", req.context.request_id)


def call_of(req: falcon.Request) -> VolumeCall:
    """What the request asks."""
    call: VolumeCall = req.context.volume
    return call


def negotiate(header: str | None) -> int:
    """The minor version to answer with. Raises Fault 400 or 406."""
    asked = None
    for part in (header or "").split(",")[:16]:
        service, _, version = part.strip().partition(" ")
        if service.lower() in _SERVICES:
            asked = version.strip()
    if asked is None:
        return OLDEST
    if asked.lower() == "latest":
        return NEWEST
    number = re.fullmatch(r"([1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})", asked)
    if number is None:
        words = "is of invalid format. Must be of format MajorNum.MinorNum."
        raise Fault(400, f"API Version String {shown(asked)} {words}")
    if number[1] != "3" or not OLDEST <= int(number[2]) <= NEWEST:
        raise Fault(
            406,
            f"Version {asked} is not supported by the API. Minimum is 3.{OLDEST} and maximum is "
            f"3.{NEWEST}.",
        )
    return int(number[2])


def _is_ours(req: falcon.Request) -> bool:
    return req.path == ROOT or req.path.startswith(f"{ROOT}/")

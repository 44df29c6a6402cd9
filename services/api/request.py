# SPDX-License-Identifier: Apache-2.0
"""What is done with every request before and after its responder.

Request id, size, caller, microversion, media type and the project segment of the URL, in the order
in which the Compute API checks them.
"""

import re
from typing import Any
from urllib.parse import parse_qs

import falcon

from common.context import RequestContext
from common.errors import Invalid, TooLarge
from common.ids import new_request_id
from common.observability import log
from common.policy import Policy
from services.api import microversion
from services.api.call import ApiCall, Links
from services.api.compression import compress
from services.api.declare.version import FIRST, MAJOR
from services.api.faults import HttpRefusal

_MOUNT = re.compile(r"^/(v2\.1|v2)(/.+)$")
_PROJECT = re.compile(r"^/([0-9a-f-]+)(/.*)$")
_JSON = ("application/json", "application/vnd.openstack.compute+json", "text/plain")
_GLOBAL_ID = re.compile(r"^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_METHODS = frozenset(("GET", "POST", "PUT", "DELETE"))
_QUERY_FIELDS_LIMIT = 200
# What is served without a token, and a path that no route has.
DOCUMENTS = frozenset(("/", "/v2.1", "/v2.1/", "/v2", "/v2/", "/healthz", "/openapi.json"))
NOWHERE = "/\0"


class EveryRequest:
    """Falcon middleware.

    `collections`: first segments of known URLs, which are no project ids. `link_prefix`: what links
    begin with instead of the URL that the client used. `trust_forwarded`: heed X-Forwarded-*.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        collections: frozenset[str],
        max_limit: int,
        max_body_bytes: int,
        link_prefix: str,
        trust_forwarded: bool,
    ) -> None:
        self._policy = policy
        self._collections = collections
        self._max_limit = max_limit
        self._max_body_bytes = max_body_bytes
        self._link_prefix = link_prefix.rstrip("/")
        self._trust_forwarded = trust_forwarded

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Prepare `req.context.call`; requests without a token (documents) have none."""
        context = req.context
        context.request_id = new_request_id()
        context.version = None
        context.root = self.root(req)
        context.read_body = lambda: self._read(req)
        context.asked_path = req.path
        mounted = _MOUNT.match(req.path)
        if mounted is None or "HTTP_X_IDENTITY_STATUS" not in req.env:
            if req.path not in DOCUMENTS:
                req.path = NOWHERE  # the table's paths are for requests that came by a mount
            return
        context.is_legacy = mounted[1] == "v2"
        if (req.content_length or 0) > self._max_body_bytes:
            raise TooLarge()
        context.bound = log.bound(self._caller(req))
        context.bound.__enter__()
        version = FIRST if context.is_legacy else self._negotiated(req)
        context.version = None if context.is_legacy else f"{MAJOR}.{version}"
        _check_media_type(req)
        project, path = self._split(mounted[2])
        context.query = _query(req.query_string)
        context.call = ApiCall(
            caller=self._caller(req),
            version=version,
            links=Links(context.root, mounted[1], project, path, context.query),
            max_limit=self._max_limit,
            policy=self._policy.allows,
            token=req.env.get("HTTP_X_AUTH_TOKEN", ""),
        )
        req.path = path if req.method in _METHODS else NOWHERE

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Put request ids and versions on the answer."""
        compress(req, resp)
        context = req.context
        request_id = context.get("request_id")
        if request_id is not None:
            resp.set_header("x-openstack-request-id", request_id)
            resp.set_header("x-compute-request-id", request_id)
        version = context.get("version")
        if version is not None and not resp.context.get("unrouted"):
            microversion.put_headers(resp, version)
        bound = context.get("bound")
        if bound is not None:
            bound.__exit__(None, None, None)

    def _negotiated(self, req: falcon.Request) -> int:
        try:
            return microversion.negotiate(req)
        except microversion.NotOffered as refused:
            req.context.version = refused.version  # the answer's headers echo it
            raise

    def root(self, req: falcon.Request) -> str:
        """The URL that links begin with."""
        if self._link_prefix:
            return self._link_prefix
        if self._trust_forwarded:
            return f"{req.forwarded_scheme}://{req.forwarded_host}{req.root_path}"
        return str(req.prefix)

    def _split(self, path: str) -> tuple[str | None, str]:
        """The project id, when the path has one, and the path without it."""
        if path.split("/", 2)[1] in self._collections:
            return None, path
        found = _PROJECT.match(path)
        return (found[1], found[2]) if found else (None, path)

    def _caller(self, req: falcon.Request) -> RequestContext:
        known = req.context.get("caller")
        if known is not None:
            return known  # type: ignore[no-any-return]
        env = req.env
        roles = tuple(r for r in env.get("HTTP_X_ROLES", "").split(",") if r)
        global_id = req.get_header("X-OpenStack-Request-ID")
        caller = RequestContext(
            request_id=req.context.request_id,
            global_request_id=global_id if global_id and _GLOBAL_ID.match(global_id) else None,
            user_id=env.get("HTTP_X_USER_ID"),
            user_name=env.get("HTTP_X_USER_NAME"),
            user_domain_id=env.get("HTTP_X_USER_DOMAIN_ID"),
            project_id=env.get("HTTP_X_PROJECT_ID"),
            project_name=env.get("HTTP_X_PROJECT_NAME"),
            project_domain_id=env.get("HTTP_X_PROJECT_DOMAIN_ID"),
            roles=roles,
            is_admin=self._policy.is_admin(roles),
        )
        req.context.caller = caller
        return caller

    def _read(self, req: falcon.Request) -> bytes:
        body: bytes = req.bounded_stream.read(self._max_body_bytes + 1)
        if len(body) > self._max_body_bytes:
            raise TooLarge()
        return body


def _check_media_type(req: falcon.Request) -> None:
    kind = (req.content_type or "").split(";", 1)[0].strip().lower()
    if kind and kind not in _JSON and req.method in ("POST", "PUT", "PATCH"):
        raise HttpRefusal(415, "Unsupported Content-Type")


def _query(text: str) -> dict[str, list[str]]:
    if not text:
        return {}
    try:
        return parse_qs(
            text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS_LIMIT
        )
    except ValueError as broken:
        raise Invalid(f"Malformed query string: {broken}") from broken

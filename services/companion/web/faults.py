# SPDX-License-Identifier: Apache-2.0
"""Refusals, and the form each service gives them: clients parse those of Keystone, Glance, Neutron,
Cinder and Manila.
"""

import logging
from typing import Any

import falcon
import msgspec
from sqlalchemy import exc as sa

LOG = logging.getLogger(__name__)

_KINDS = {
    400: "HTTPBadRequest",
    401: "HTTPUnauthorized",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed",
    409: "Conflict",
    413: "RequestTooLarge",
}
_VOLUME_KINDS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}


class Fault(Exception):
    """A request refused. `kind` is the error type that Neutron's clients look at."""

    def __init__(self, status: int, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind


def install(app: falcon.App[Any, Any]) -> None:
    """Give every error of `app` the form of the service whose path was asked."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(sa.OperationalError, _store_busy)
    app.add_error_handler(falcon.HTTPError, _of_falcon)
    app.add_error_handler(Fault, _fault)


def _fault(req: falcon.Request, resp: falcon.Response, fault: Fault, _: Any) -> None:
    _answer(req, resp, fault)


def _of_falcon(req: falcon.Request, resp: falcon.Response, error: Any, _: Any) -> None:
    message = error.description or error.title or "The request was refused."
    _answer(req, resp, Fault(error.status_code, message))
    if error.headers:
        resp.set_headers(error.headers)


def _store_busy(req: falcon.Request, resp: falcon.Response, error: Exception, _: Any) -> None:
    LOG.error("The store did not answer %s %s: %s", req.method, req.path, error)
    _answer(req, resp, Fault(503, "The service is busy; try again later."))
    resp.set_header("Retry-After", "1")


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _: Any) -> None:
    LOG.exception("%s %s failed", req.method, req.path, exc_info=error)
    _answer(req, resp, Fault(500, "An unexpected error prevented the server from answering."))


def _answer(req: falcon.Request, resp: falcon.Response, fault: Fault) -> None:
    resp.status = fault.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(body_of(req.path, fault))
    resp.stream = None
    if fault.status == 401:
        base = req.context.get("base_url") or req.prefix
        resp.set_header("WWW-Authenticate", f'Keystone uri="{base}/identity"')


def body_of(path: str, fault: Fault) -> dict[str, Any]:
    """The error body as the service at `path` writes it."""
    title = falcon.code_to_http_status(fault.status).partition(" ")[2]
    if path.startswith("/network"):
        kind = fault.kind or _KINDS.get(fault.status, "HTTPServerError")
        return {"NeutronError": {"type": kind, "message": fault.message, "detail": ""}}
    if path.startswith(("/volume", "/share")):
        kind = _VOLUME_KINDS.get(fault.status, "computeFault")
        return {kind: {"code": fault.status, "message": fault.message}}
    if path.startswith("/image"):
        return {"message": fault.message, "code": f"{fault.status} {title}", "title": title}
    return {"error": {"code": fault.status, "message": fault.message, "title": title}}

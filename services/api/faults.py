# SPDX-License-Identifier: Apache-2.0
"""From an error's kind to HTTP: status, body and headers. Nothing else knows both."""

import json
import logging
from typing import Any

import falcon

from common.errors import Internal, KilonovaError

LOG = logging.getLogger(__name__)

RETRY_AFTER_S = 5
_STATUS = {
    "invalid": 400, "forbidden": 403, "not_found": 404, "conflict": 409, "gone": 410,
    "too_large": 413, "unavailable": 503, "not_implemented": 501, "failed": 500, "internal": 500,
}  # fmt: skip
_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound",
    405: "badMethod", 409: "conflictingRequest", 413: "overLimit", 415: "badMediaType",
    429: "overLimit", 501: "notImplemented", 503: "serviceUnavailable",
}  # fmt: skip
_SECRET_PATH = "/os-console-auth-tokens/"
_CONTENT_TYPE = "application/json; charset=UTF-8"
NOT_ROUTED = "404 Not Found\n\nThe resource could not be found.\n\n   \n"


class HttpRefusal(Exception):
    """A status that stands for no error kind: 406, 415, 429, 300."""

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


def fault_body(status: int, message: str, retry_after_s: int | None = None) -> bytes:
    """The error document of the Compute API."""
    inner: dict[str, Any] = {"code": status, "message": message}
    if retry_after_s is not None and status in (413, 429):
        inner["retryAfter"] = str(retry_after_s)
    return json.dumps({_NAMES.get(status, "computeFault"): inner}).encode()


def install(app: falcon.App[Any, Any]) -> None:
    """Have `app` turn every exception into an answer."""
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(falcon.HTTPError, _falcons_own)
    app.add_error_handler(KilonovaError, _known)
    app.add_error_handler(HttpRefusal, _refusal)


def _write(
    resp: falcon.Response, status: int, message: str, retry_after_s: int | None = None
) -> None:
    resp.status = falcon.code_to_http_status(status)
    resp.data = fault_body(status, message, retry_after_s)
    resp.content_type = _CONTENT_TYPE
    if status == 503:
        retry_after_s = RETRY_AFTER_S
    if retry_after_s is not None:
        resp.set_header("Retry-After", str(retry_after_s))


def _known(
    req: falcon.Request, resp: falcon.Response, error: KilonovaError, params: dict[str, Any]
) -> None:
    status = _STATUS[error.kind]
    if status >= 500:
        LOG.warning("%s %s: %d %s", req.method, _path(req), status, error)
    _write(resp, status, _unexpected_message(error) if error.kind == "internal" else str(error))


def _refusal(
    req: falcon.Request, resp: falcon.Response, error: HttpRefusal, params: dict[str, Any]
) -> None:
    _write(resp, error.status, str(error), error.retry_after_s)


def _falcons_own(
    req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
) -> None:
    if error.status_code in (404, 405):
        # The Compute API's router knows no 405: a wrong method is an unknown path.
        resp.status = falcon.HTTP_404
        resp.text = NOT_ROUTED
        resp.content_type = "text/plain; charset=UTF-8"
        resp.context.unrouted = True
        return
    _write(resp, error.status_code, error.description or error.title or "")


def _unexpected(
    req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]
) -> None:
    LOG.error("%s %s failed unexpectedly", req.method, _path(req), exc_info=error)
    _write(resp, 500, _unexpected_message(error))


def _path(req: falcon.Request) -> str:
    """A request's path as a log may have it: one path holds a secret."""
    return str(req.uri_template) if _SECRET_PATH in req.path else req.path


def _unexpected_message(error: Exception) -> str:
    """Names the class of what went wrong, of ours or in the process that was asked; no more."""
    name = type(error).__name__
    if isinstance(error, Internal) and str(error.details.get("reason", "")).isidentifier():
        name = str(error.details["reason"])
    return f"Unexpected API Error. Please contact the administrator\n<class '{name}'>"

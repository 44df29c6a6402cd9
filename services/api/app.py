# SPDX-License-Identifier: Apache-2.0
"""The WSGI application: documents for everybody, the API behind the token filter."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import falcon

from common.daemon import health_document
from common.errors import TooLarge
from common.ids import new_request_id
from common.policy import Policy
from services.api import faults
from services.api.idempotency import DoneOnce
from services.api.openapi import OpenApi
from services.api.rate_limit import MESSAGE, TOO_MANY, ProjectLimit, RateLimit, address_of
from services.api.request import EveryRequest
from services.api.resources import versions
from services.api.routes import Parts, collections, routes

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class AppOptions:
    """Limits and links of the application (see [api])."""

    max_limit: int = 1000
    max_body_bytes: int = 114688
    link_prefix: str = ""
    trust_forwarded: bool = False
    project_limit: RateLimit | None = None
    address_limit: RateLimit | None = None


class Health:
    """GET /healthz: 200 when requests can be served, 503 with what is wrong."""

    def __init__(self, problems: Callable[[], dict[str, str]]) -> None:
        self._problems = problems

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        problems = self._problems()
        resp.media = health_document("kilonova-api", problems)
        resp.status = falcon.HTTP_503 if problems else falcon.HTTP_200


def make_app(
    parts: Parts, policy: Policy, options: AppOptions, problems: Callable[[], dict[str, str]]
) -> falcon.App[Any, Any]:
    """The application as it is behind the token filter (`behind` puts the filter before it)."""
    table = routes(parts)
    every = EveryRequest(
        policy,
        collections=collections(table),
        max_limit=options.max_limit,
        max_body_bytes=options.max_body_bytes,
        link_prefix=options.link_prefix,
        trust_forwarded=options.trust_forwarded,
    )
    limit = [ProjectLimit(options.project_limit)] if options.project_limit else []
    app: falcon.App[Any, Any] = falcon.App(
        middleware=[every, *limit, DoneOnce(parts.idempotency)], media_type="application/json"
    )
    app.resp_options.default_media_type = "application/json"
    faults.install(app)
    app.add_route("/", versions.Root())
    for mount in ("v2.1", "v2"):
        app.add_route(f"/{mount}", versions.Version(mount))
        app.add_route(f"/{mount}/", versions.Version(mount))
    app.add_route("/healthz", Health(problems))
    app.add_route("/openapi.json", OpenApi(table))
    for route in table:
        app.add_route(route.path, route.resource, suffix=route.suffix)
    app.add_sink(_elsewhere)
    return app


def _elsewhere(req: falcon.Request, resp: falcon.Response, **_: str) -> None:
    """A path that no route has: unknown below a version, else the choice of versions."""
    if "call" in req.context:
        raise falcon.HTTPNotFound
    versions.choices(req, resp)


def behind(token_filter: Wsgi, app: Wsgi, options: AppOptions) -> Wsgi:
    """Requests of the API go through the token filter, documents do not.

    A body that says it is too large, and an address that asks too often, are refused before
    anybody is asked about the token.
    """
    limit = options.address_limit

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        length = environ.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > options.max_body_bytes:
            return _refused(start_response, "413 Content Too Large", str(TooLarge()))
        if path.startswith(("/v2.1/", "/v2/")) and path not in ("/v2.1/", "/v2/"):
            address = address_of(environ, trust_forwarded=options.trust_forwarded)
            wait_s = limit.wait_s(address) if limit else None
            if wait_s is not None:
                return _refused(start_response, f"{TOO_MANY} Too Many Requests", MESSAGE, wait_s)
            return token_filter(environ, start_response)
        environ.pop("HTTP_X_IDENTITY_STATUS", None)
        return app(environ, start_response)

    return serve


def _refused(
    start_response: Callable[..., Any], status: str, message: str, retry_after_s: int | None = None
) -> Iterable[bytes]:
    body = faults.fault_body(int(status[:3]), message, retry_after_s)
    request_id = new_request_id()
    headers = [
        ("Content-Type", "application/json; charset=UTF-8"),
        ("Content-Length", str(len(body))),
        ("x-openstack-request-id", request_id),
        ("x-compute-request-id", request_id),
    ]
    if retry_after_s is not None:
        headers.append(("Retry-After", str(retry_after_s)))
    start_response(status, headers)
    return [body]

# SPDX-License-Identifier: Apache-2.0
"""@responder: from a declaration and a method to a falcon responder.

The order of checks is the Compute API's: document, project in the URL, microversion, query, body,
policy. What precedes them (size, token, microversion header, media type) is middleware's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import falcon
import msgspec

from common.errors import Invalid, NotFound
from common.policy import PolicyForbids
from services.api.call import ApiCall
from services.api.declare.request import Body, Query
from services.api.declare.version import Span
from services.api.declare.view import Answer

_ATTRIBUTE = "_kilonova_operation"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Operation:
    """What the OpenAPI document and the checks know of a responder."""

    span: Span
    policy: str | None
    query: Query | None
    body: Body | None
    answer: Answer | None
    statuses: tuple[int, ...]
    summary: str


def responder(
    *,
    policy: str | None = None,
    query: Query | None = None,
    body: Body | None = None,
    returns: Answer | None = None,
    status: int = 200,
    or_status: tuple[int, ...] = (),
    since: str | None = None,
    until: str | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a method (self, call, **url parts) a falcon responder.

    `policy` None: the method asks policy itself. `status`: of success; those in `or_status` a
    method may set as `call.status` instead. Without `returns` the answer has no body.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., None]:
        summary = (method.__doc__ or "").strip().split("\n")[0]
        operation = Operation(
            Span.between(since, until), policy, query, body, returns, (status, *or_status), summary
        )

        def respond(self: Any, req: falcon.Request, resp: falcon.Response, **parts: str) -> None:
            document = read_document(req) if body is not None else None
            call = begin(req, operation.span)
            if "" in parts.values():  # a URL that ends where an id should stand
                raise NotFound
            perform(operation, call, req, resp, document, lambda: method(self, call, **parts))

        respond.__doc__ = method.__doc__
        respond.__name__ = method.__name__
        return declared(respond, operation)

    return decorate


def declared(function: Callable[..., None], operation: Operation) -> Callable[..., None]:
    """`function` as the responder of an operation."""
    setattr(function, _ATTRIBUTE, operation)
    return function


def operation_of(function: Any) -> Operation | None:
    """The declaration behind a responder; None for other methods."""
    found: Operation | None = getattr(function, _ATTRIBUTE, None)
    return found


def begin(req: falcon.Request, span: Span) -> ApiCall:
    """The call that middleware prepared. Raises: Invalid (project in URL), NotFound (version)."""
    call: ApiCall = req.context.call
    if call.links.project is not None and call.links.project != call.caller.project_id:
        raise Invalid(
            f"Malformed request URL: URL's project_id '{call.links.project}' doesn't match "
            f"Context's project_id '{call.caller.project_id}'"
        )
    if call.version not in span:
        raise NotFound()
    return call


def perform(
    operation: Operation,
    call: ApiCall,
    req: falcon.Request,
    resp: falcon.Response,
    document: Any,
    method: Callable[[], Any],
) -> None:
    """Check query, body and policy, run the method, write the answer."""
    if operation.query is not None:
        call.query = operation.query.check(req.context.query, call.version)
    if operation.body is not None:
        call.document = prepared(document, operation, req)
        call.body = operation.body.check(call.document, call.version)
    if operation.policy is not None and not call.allows(operation.policy):
        raise PolicyForbids(rule=operation.policy)
    result = method()
    resp.status = falcon.code_to_http_status(call.status or operation.statuses[0])
    if call.location:
        resp.set_header("Location", call.location)
    if operation.answer is not None and result is not None:
        resp.data = _encode(operation.answer.body(result, call))
        resp.content_type = "application/json"


def prepared(document: Any, operation: Operation, req: falcon.Request) -> Any:
    """The document as it is checked: the legacy mount drops what it does not know."""
    if not req.context.is_legacy or operation.body is None:
        return document
    return _known_part(document, operation.body.schema(1))


def _known_part(document: Any, schema: dict[str, Any]) -> Any:
    if isinstance(document, str) and schema.get("format") in ("name", "az_name"):
        return document.strip()
    if isinstance(document, list) and "items" in schema:
        return [_known_part(each, schema["items"]) for each in document]
    if not isinstance(document, dict) or schema.get("additionalProperties", True) is not False:
        return document
    if "patternProperties" in schema:
        return document
    known = schema.get("properties", {})
    return {key: _known_part(value, known[key]) for key, value in document.items() if key in known}


def read_document(req: falcon.Request) -> Any:
    """The request's JSON document; None when it is empty. Raises: Invalid."""
    if "document" not in req.context:
        raw: bytes = req.context.read_body()
        try:
            req.context.document = _decode(raw) if raw else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
            raise Invalid("Malformed request body") from broken
    return req.context.document

# SPDX-License-Identifier: Apache-2.0
"""GET /openapi.json?microversion=2.N: this API as OpenAPI 3.1, made from its declarations."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any

import falcon
import msgspec

from common.errors import Invalid
from services.api.actions import Actions
from services.api.declare.version import FIRST, LAST, MAJOR
from services.api.responder import Operation, operation_of
from services.api.routes import Route

_METHODS = ("get", "post", "put", "delete")
_FAULT = {
    "description": "The request was refused, or something failed.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                    "required": ["code", "message"],
                },
            }
        }
    },
}


class OpenApi:
    """Serves the document; each microversion's is made once."""

    def __init__(self, table: Sequence[Route]) -> None:
        self._table = table
        self._document = functools.lru_cache(maxsize=8)(self._make)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The document at the microversion of the query (the newest without one)."""
        text = req.get_param("microversion") or f"{MAJOR}.{LAST}"
        found = re.fullmatch(rf"{MAJOR}\.([1-9][0-9]{{0,3}})", text)
        if found is None or not FIRST <= int(found[1]) <= LAST:
            raise Invalid(f"There is no microversion {text}.")
        resp.data = self._document(int(found[1]))
        resp.content_type = "application/json"

    def _make(self, version: int) -> bytes:
        return msgspec.json.encode(document(self._table, version))


def document(table: Sequence[Route], version: int) -> dict[str, Any]:
    """The whole API at 2.`version`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", route.path)
        ]
        for method, operations in _operations(route, version):
            item = paths.setdefault(f"/v2.1{route.path}", {})
            if parameters:
                item["parameters"] = parameters
            item[method] = _described(operations, version)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kilonova Compute API",
            "version": f"{MAJOR}.{version}",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}
        },
        "paths": paths,
    }


def _operations(route: Route, version: int) -> Iterator[tuple[str, list[Operation]]]:
    """The methods of a route that this microversion has; several operations for actions."""
    if isinstance(route.resource, Actions):
        found = [operation_of(act) for act in route.resource.actions.values()]
        present = [each for each in found if each is not None and version in each.span]
        if present:
            yield "post", present
        return
    for method in _METHODS:
        name = f"on_{method}_{route.suffix}" if route.suffix else f"on_{method}"
        operation = operation_of(getattr(route.resource, name, None))
        if operation is not None and version in operation.span:
            yield method, [operation]


def _described(operations: list[Operation], version: int) -> dict[str, Any]:
    first = operations[0]
    shown: dict[str, Any] = {
        "summary": " / ".join(operation.summary for operation in operations),
        "responses": {"default": _FAULT},
    }
    for operation in operations:
        answer: dict[str, Any] = {"description": operation.summary or "Done."}
        if operation.answer is not None:
            answer["content"] = {"application/json": {"schema": operation.answer.schema(version)}}
        shown["responses"][str(operation.status)] = answer
    if first.query is not None:
        shown["parameters"] = [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in first.query.schema(version)["properties"].items()
        ]
    bodies = [o.body.schema(version) for o in operations if o.body is not None]
    if bodies:
        schema = bodies[0] if len(bodies) == 1 else {"oneOf": bodies}
        shown["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return shown

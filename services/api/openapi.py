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
from services.api.idempotency import HEADER
from services.api.responder import Operation, operation_of
from services.api.routes import Route

_METHODS = ("get", "post", "put", "delete")
_NEWEST = "latest"
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

_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The request is done once however often it is sent with this key.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class OpenApi:
    """Serves the document; each microversion's is made once."""

    def __init__(self, table: Sequence[Route]) -> None:
        self._table = table
        self._document = functools.lru_cache(maxsize=8)(self._make)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The document at the microversion of the query (the newest without one)."""
        text = req.get_param("microversion") or _NEWEST
        text = f"{MAJOR}.{LAST}" if text == _NEWEST else text
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
            item[method] = _described(method, route.path, operations, version)
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


def _described(method: str, path: str, operations: list[Operation], version: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "-", f"{method}{path}").strip("-"),
        "summary": " / ".join(filter(None, (operation.summary for operation in operations))),
        "responses": {**_answers(operations, version), "default": _FAULT},
    }
    first = operations[0]
    parameters = [_KEY] if method == "post" else []
    if first.query is not None:
        parameters += [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in first.query.schema(version)["properties"].items()
        ]
    if parameters:
        shown["parameters"] = parameters
    bodies = [o.body.schema(version) for o in operations if o.body is not None]
    if bodies:
        shown["requestBody"] = {"content": {"application/json": {"schema": _one_of(bodies)}}}
    return shown


def _answers(operations: list[Operation], version: int) -> dict[str, Any]:
    """The successful answers by status; actions share a path, so a status may have several."""
    found: dict[str, Any] = {}
    for status in dict.fromkeys(s for operation in operations for s in operation.statuses):
        same = [operation for operation in operations if status in operation.statuses]
        schemas = [o.answer.schema(version) for o in same if o.answer is not None]
        answer: dict[str, Any] = {"description": same[0].summary or "Done."}
        if schemas:
            answer["content"] = {"application/json": {"schema": _one_of(schemas)}}
        found[str(status)] = answer
    return found


def _one_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

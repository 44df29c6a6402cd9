# SPDX-License-Identifier: Apache-2.0
"""The contract's operations, as tests ask for them."""

import functools
import json
from pathlib import Path
from typing import Any

from services.api.declare.version import FIRST, LAST, minor

_FILE = Path(__file__).parent / "contract" / "operations.json"
# What needs a service that no cloud of the tests has: it answers with its documented error.
_NOT_DEPLOYED = ("/os-baremetal-nodes",)
# What the contract's notes have refused below a microversion, though its table knows a success.
_REFUSED_BELOW = {("GET", "/os-console-auth-tokens/{id}", None): (31, 400)}
# Method, path and action of an operation.
Key = tuple[str, str, str | None]


@functools.cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text())
    return found


def everything() -> list[dict[str, Any]]:
    """Every operation as the contract writes it."""
    return [dict(found) for found in _document()["operations"]]


def present() -> list[dict[str, Any]]:
    """Every operation that some microversion still has."""
    return [dict(found) for found in _document()["operations"] if found["status"] != "gone"]


def key_of(operation: dict[str, Any]) -> Key:
    """What an operation is known by."""
    return operation["method"], operation["path"], operation.get("action")


def versions(of: dict[str, Any]) -> tuple[int, int]:
    """The first and the last microversion that have an operation."""
    return max(_first(of), FIRST), min(_last(of), LAST)


def operation(method: str, path: str, action: str | None = None) -> dict[str, Any]:
    """The operation of a path as the contract writes it."""
    for found in _document()["operations"]:
        if (found["method"], found["path"], found.get("action")) == (method, path, action):
            return dict(found)
    raise LookupError(f"{method} {path} {action}")


def removed() -> list[dict[str, Any]]:
    """Every operation that answers 410."""
    return [dict(found) for found in _document()["operations"] if found["status"] == "gone"]


def schema(of: dict[str, Any], kind: str, version: int) -> dict[str, Any] | None:
    """The `request`, `query` or `response` schema at 2.`version`; None where there is none."""
    for entry in of.get(kind, ()):
        if _first(entry) <= version <= _last(entry):
            return dict(_document()["schemas"][entry["schema"]])
    return None


def turning_points(of: dict[str, Any]) -> list[int]:
    """Microversions at which something of an operation changes: first and last of every range."""
    points = {max(_first(of), FIRST), min(_last(of), LAST)}
    refused_below, _ = _REFUSED_BELOW.get(key_of(of), (FIRST, 0))
    points |= {refused_below - 1, refused_below}
    for kind in ("request", "query", "response", "success"):
        for entry in of.get(kind, ()):
            points |= {_first(entry), _last(entry)}
    return sorted(point for point in points if _first(of) <= point <= _last(of))


def successes(of: dict[str, Any], version: int) -> set[int]:
    """The statuses of a success at 2.`version`; of what has none here or anywhere, its error's."""
    if of["status"] == "always_error" or of["path"].startswith(_NOT_DEPLOYED):
        return {code for entry in of["errors"] for code in entry["codes"]}
    refused_below, code = _REFUSED_BELOW.get(key_of(of), (FIRST, 0))
    if version < refused_below:
        return {code}
    return {int(entry["code"]) for entry in of["success"]
            if _first(entry) <= version <= _last(entry)}  # fmt: skip


def _first(entry: dict[str, Any]) -> int:
    return minor(entry["min"]) if entry["min"] else FIRST


def _last(entry: dict[str, Any]) -> int:
    return minor(entry["max"]) if entry["max"] else LAST

# SPDX-License-Identifier: Apache-2.0
"""Documents near a valid one, made from the schema that it fits: each differs in one place.

Some fit the schema still (a value at its bound), most do not. `Reference` says which: Python's
jsonschema with the two rules that the Compute API has beyond JSON Schema.
"""

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import jsonschema.validators

from services.api.declare.formats import CHECKS

_WRONG: tuple[Any, ...] = (
    None,
    "",
    " ",
    "x",
    0,
    -1,
    1.5,
    True,
    [],
    [{}],
    {},
    {"x": 1},
    "-1",
    "0x1",
)
_TEXTS = {
    "uuid": ("6f70656e-7374-6163-6b20-676f65732121", "6F70656E73746163" * 2, "not-a-uuid"),
    "date-time": ("2026-01-01T00:00:00Z", "2026-01-01", "yesterday"),
    "ipv4": ("10.0.0.1", "10.0.0.256", "::1"),
    "ipv6": ("::1", "10.0.0.1", "fe80::1%eth0"),
    "cidr": ("10.0.0.0/8", "10.0.0.1"),
    "base64": ("aGVsbG8=", "a"),
    "name": ("name", " name", "na\nme"),
    "uri": ("http://h/p", "h"),
}


def near(document: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """Documents that differ from `document` in one place."""
    yield from _values(schema)
    if isinstance(document, dict):
        yield from _near_object(document, schema)
    elif isinstance(document, list):
        items = schema.get("items")
        yield [*document, *document]
        if isinstance(items, dict):
            for each in near(document[0], items) if document else _values(items):
                yield [each]
            yield document[:1] * (schema.get("maxItems", 0) + 1)


def _near_object(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[Any]:
    yield document | {"no-such-key": "x"}
    for key in document:
        yield {k: v for k, v in document.items() if k != key}
    for key, inner in schema.get("properties", {}).items():
        changed = near(document[key], inner) if key in document else _values(inner)
        for value in changed:
            yield document | {key: value}
    for inner in schema.get("patternProperties", {}).values():
        for key in ("k", "k" * 255, "k" * 256, "ü", ""):
            yield document | {key: "v"}
        for value in _values(inner):
            yield document | {"k": value}


def _values(schema: dict[str, Any]) -> Iterator[Any]:
    """Values at and beyond the bounds of a schema, and of other types."""
    yield from _WRONG
    for word in ("minLength", "maxLength"):
        if word in schema:
            for length in (schema[word] - 1, schema[word], schema[word] + 1):
                yield "a" * max(0, length)
    for word in ("minimum", "maximum"):
        if word in schema:
            for number in (schema[word] - 1, schema[word], schema[word] + 1):
                yield from (number, str(number))
    for value in schema.get("enum", ()):
        yield value
        yield f"{value}x"
    yield from _TEXTS.get(schema.get("format", ""), ())
    for word in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(word, ()):
            yield from _values(part)
    if isinstance(schema.get("items"), dict) and "array" in schema.get("type", ()):
        yield list(_values(schema["items"]))[-2:]
    if schema.get("properties"):
        yield dict.fromkeys(schema["properties"], "x")


def _bound(is_broken: Any) -> Any:
    def check(validator: Any, bound: Any, instance: Any, schema: Any) -> Iterator[Any]:
        try:
            number = int(instance) if isinstance(instance, str) else instance
        except ValueError:
            return
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if is_number and is_broken(number, bound):
            yield jsonschema.ValidationError("out of bounds")

    return check


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "minimum": _bound(lambda number, bound: number < bound),
        "maximum": _bound(lambda number, bound: number > bound),
    },
)
_FORMATS = jsonschema.FormatChecker(formats=())
for _name, _check in CHECKS.items():
    _FORMATS.checks(_name)(lambda text, check=_check: not isinstance(text, str) or check(text))


class Reference:
    """Says whether documents fit a schema of the contract."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = _Validator(copy.deepcopy(schema), format_checker=_FORMATS)

    def fits(self, document: Any) -> bool:
        return bool(self._validator.is_valid(document))

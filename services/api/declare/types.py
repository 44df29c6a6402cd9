# SPDX-License-Identifier: Apache-2.0
"""Types of fields: each gives the JSON Schema that holds at a microversion.

Bounds of numbers also hold for numeric texts, as everywhere in the Compute API
(`validation.py` sees to it).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.api.declare.version import Span

Schema = dict[str, Any]

TRUE_WORDS = (True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE_WORDS = (False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")


class Type(Protocol):
    """Anything that can say what it allows."""

    def schema(self, version: int) -> Schema:
        """The JSON Schema (2020-12) at microversion 2.`version`."""


@dataclass(frozen=True)
class Plain:
    """A schema that is the same at every version."""

    is_: Schema

    def schema(self, version: int) -> Schema:
        return self.is_


def string(
    least: int | None = None,
    most: int | None = None,
    *,
    pattern: str | None = None,
    form: str | None = None,
    null: bool = False,
) -> Plain:
    """A text of `least` to `most` characters; `form` is a JSON Schema format."""
    words: Schema = {"type": ["string", "null"] if null else "string"}
    if form:
        words["format"] = form
    if pattern:
        words["pattern"] = pattern
    if least is not None:
        words["minLength"] = least
    if most is not None:
        words["maxLength"] = most
    return Plain(words)


def integer(
    least: int | None = None,
    most: int | None = None,
    *,
    texts: bool = False,
    null: bool = False,
    pattern: str = "^[0-9]*$",
    least_length: int | None = None,
) -> Plain:
    """A whole number; with `texts` also written as a text of digits."""
    words: Schema = {"type": "integer"}
    if texts:
        words = {"type": ["integer", "string"], "pattern": pattern}
    if null:
        kinds = words["type"] if isinstance(words["type"], list) else [words["type"]]
        words["type"] = [*kinds, "null"]
    if least is not None:
        words["minimum"] = least
    if most is not None:
        words["maximum"] = most
    if least_length is not None:
        words["minLength"] = least_length
    return Plain(words)


def enum(*values: Any) -> Plain:
    """One of these texts."""
    return Plain({"type": "string", "enum": list(values)})


NAME = string(1, 255, form="name")
UUID = string(form="uuid")
BOOLEAN = Plain({"type": ["boolean", "string"], "enum": [*TRUE_WORDS, *FALSE_WORDS]})
STRICT_BOOLEAN = Plain({"type": "boolean"})
NULL = Plain({"type": "null"})
ANYTHING = Plain({})
TEXT = string()
TEXT_OR_NULL = string(null=True)
INTEGER = integer()
NUMBER = Plain({"type": "number"})
DATE_TIME = string(form="date-time")


def is_true(value: Any) -> bool:
    """Whether a checked boolean, in any of its spellings, means yes."""
    return value in TRUE_WORDS


@dataclass(frozen=True)
class Field:
    """A field of an object, and the microversions that have it."""

    name: str
    type: Type
    since: str | None = None
    until: str | None = None
    required: bool = True

    @property
    def span(self) -> Span:
        """The microversions that have this field."""
        return Span.between(self.since, self.until)


@dataclass(frozen=True)
class Changing:
    """A type that is another one in another span: (since, type) pairs in order."""

    history: Sequence[tuple[str, Type]]

    def schema(self, version: int) -> Schema:
        current = self.history[0][1]
        for since, candidate in self.history:
            if version >= Span.between(since, None).first:
                current = candidate
        return current.schema(version)


@dataclass(frozen=True)
class Record:
    """An object with known fields. `additional`: whether it may have others."""

    fields: Sequence[Field]
    additional: bool = False
    pattern: tuple[str, Type] | None = None
    least: int | None = None
    most: int | None = None
    null: bool = False

    def schema(self, version: int) -> Schema:
        present = [each for each in self.fields if version in each.span]
        words: Schema = {
            "type": ["object", "null"] if self.null else "object",
            "properties": {each.name: each.type.schema(version) for each in present},
            "additionalProperties": self.additional,
        }
        required = list(dict.fromkeys(each.name for each in present if each.required))
        if required:
            words["required"] = required
        if self.pattern:
            words["patternProperties"] = {self.pattern[0]: self.pattern[1].schema(version)}
        if self.least is not None:
            words["minProperties"] = self.least
        if self.most is not None:
            words["maxProperties"] = self.most
        return words


def mapping(key_pattern: str, value: Type, **bounds: Any) -> Record:
    """An object with any keys that match `key_pattern`."""
    return Record((), pattern=(key_pattern, value), **bounds)


@dataclass(frozen=True)
class Array:
    """A list of `items`."""

    items: Type
    least: int | None = None
    most: int | None = None
    unique: bool = False
    null: bool = False

    def schema(self, version: int) -> Schema:
        words: Schema = {
            "type": ["array", "null"] if self.null else "array",
            "items": self.items.schema(version),
        }
        if self.least is not None:
            words["minItems"] = self.least
        if self.most is not None:
            words["maxItems"] = self.most
        if self.unique:
            words["uniqueItems"] = True
        return words


@dataclass(frozen=True)
class OneOf:
    """Exactly one of several types. `common` holds for all of them."""

    types: Sequence[Type]
    common: Schema = field(default_factory=dict)

    def schema(self, version: int) -> Schema:
        return {**self.common, "oneOf": [each.schema(version) for each in self.types]}

# SPDX-License-Identifier: Apache-2.0
"""Bodies and queries: what a request may carry, by microversion."""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.api.declare.types import TEXT, Array, Changing, Field, Plain, Record, Schema, Type
from services.api.declare.validation import BodyInvalid, Checker
from services.api.declare.version import Span

# From this microversion on most query strings refuse what they do not know.
_STRICT_QUERIES = 75


@dataclass(frozen=True)
class Rule:
    """A rule between fields that a schema cannot say; `message` is what the user reads."""

    message: str
    broken: Callable[[dict[str, Any]], bool]


class Body:
    """A request body. `key`: the one key that wraps its fields; None for a bare object."""

    def __init__(
        self,
        name: str,
        fields: Sequence[Field],
        *,
        key: str | None = None,
        outer: Sequence[Field] = (),
        rules: Sequence[Rule] = (),
        additional: bool = False,
        least: int | None = None,
    ) -> None:
        self.name = name
        self.key = key
        inner: Type = Record(tuple(fields), additional=additional, least=least)
        self._whole = inner if key is None else Record((Field(key, inner), *outer))
        self.rules = tuple(rules)
        self._checkers: dict[str, Checker] = {}
        self._checker_at = functools.lru_cache(maxsize=256)(self._make_checker)

    @classmethod
    def of(cls, name: str, key: str, value: Type, *, additional: bool = False) -> "Body":
        """A body whose one key holds a `value` that is no record of named fields.

        `additional`: whether other keys may stand beside it.
        """
        body = cls(name, ())
        body.key = key
        body._whole = Record((Field(key, value),), additional=additional)
        return body

    @classmethod
    def bare(cls, name: str, value: Type) -> "Body":
        """A body that is itself a `value`."""
        body = cls(name, ())
        body._whole = value
        return body

    def schema(self, version: int) -> Schema:
        """Its JSON Schema at 2.`version`."""
        return self._whole.schema(version)

    def check(self, document: Any, version: int) -> Any:
        """What is under `key`. Raises BodyInvalid."""
        self._checker_at(version).check(document)
        inner = document if self.key is None else document[self.key]
        for rule in self.rules:
            if rule.broken(inner):
                raise BodyInvalid(rule.message)
        return inner

    def _make_checker(self, version: int) -> Checker:
        # Most microversions share a schema: compile each only once.
        schema = self.schema(version)
        text = repr(schema)
        if text not in self._checkers:
            self._checkers[text] = Checker(schema)
        return self._checkers[text]


class Query:
    """A query string. Values are lists of texts; `single` gives the last of each.

    `strict_since`: from when unknown keys are refused instead of dropped (None: never).
    `once_since`: from when a key may be there once only; those of `once` always.
    """

    def __init__(
        self,
        name: str,
        fields: Sequence[Field],
        *,
        strict_since: str | None = f"2.{_STRICT_QUERIES}",
        pattern: tuple[str, Type] | None = None,
        once_since: str | None = None,
        once: Sequence[Field] = (),
    ) -> None:
        self.name = name
        self._fields = tuple(
            Field(f.name, _values(f.type, once_since), f.since, f.until, required=False)
            for f in fields
        ) + tuple(
            Field(f.name, Array(f.type, most=1), f.since, f.until, required=False) for f in once
        )
        self._strict = Span.between(strict_since, None) if strict_since else None
        self._pattern = (pattern[0], Array(pattern[1])) if pattern else None
        self._checkers: dict[str, Checker] = {}
        self._at = functools.lru_cache(maxsize=256)(self._make)

    def schema(self, version: int) -> Schema:
        """Its JSON Schema at 2.`version`."""
        lenient = self._strict is None or version not in self._strict
        return Record(self._fields, additional=lenient, pattern=self._pattern).schema(version)

    def check(self, values: dict[str, list[str]], version: int) -> dict[str, list[str]]:
        """The keys of `values` that are known or fit the pattern. Raises QueryInvalid."""
        checker, known = self._at(version)
        checker.check(values)
        if values.keys() <= known:
            return values
        return {key: found for key, found in values.items() if key in known or self._fits(key)}

    def _fits(self, key: str) -> bool:
        return self._pattern is not None and re.search(self._pattern[0], key) is not None

    def _make(self, version: int) -> tuple[Checker, frozenset[str]]:
        schema = self.schema(version)
        text = repr(schema)
        if text not in self._checkers:
            self._checkers[text] = Checker(schema, is_query=True)
        return self._checkers[text], frozenset(schema["properties"])


def _values(type_: Type, once_since: str | None) -> Type:
    if once_since is None:
        return Array(type_)
    return Changing((("2.1", Array(type_)), (once_since, Array(type_, most=1))))


def single(values: dict[str, list[str]], key: str) -> str | None:
    """The last value of `key`; None when it is not there."""
    found = values.get(key)
    return found[-1] if found else None


LIMIT = Plain({"type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 0, "minLength": 1})
PAGING = (Field("limit", LIMIT), Field("marker", TEXT))
# Operations that look at no key of theirs: anything goes, until 2.102 asks for none.
ANY_QUERY = Query("none", (), strict_since="2.102")
LENIENT_QUERY = Query("none", (), strict_since=None)

# SPDX-License-Identifier: Apache-2.0
"""Views: how an object of the domain is shown, by microversion."""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from services.api.declare.types import Schema, Type
from services.api.declare.version import Span

if TYPE_CHECKING:
    from services.api.call import ApiCall


class _Absent:
    """What a getter returns for a field that this object does not show."""


ABSENT = _Absent()
Getter = Callable[[Any, "ApiCall"], Any]
Shower = Callable[[Any], dict[str, Any]]
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Shown:
    """A field of a view.

    `source`: an attribute's name, or a function of (object, call). `when`: a function of the call
    that decides once an answer whether the field is there at all (policy).
    """

    name: str
    type: Type
    source: str | Getter
    since: str | None = None
    until: str | None = None
    when: Callable[["ApiCall"], bool] | None = None

    @property
    def span(self) -> Span:
        """The microversions that have this field."""
        return Span.between(self.since, self.until)


class _Made(NamedTuple):
    """A field that a function makes."""

    name: str
    make: Getter


class _Plan(NamedTuple):
    """How an object is shown to whoever sees some of a version's fields.

    `attributes` gives the values of the fields `plain`, in that order.
    """

    plain: tuple[str, ...]
    attributes: Callable[[Any], Iterable[Any]]
    made: tuple[_Made, ...]


class View:
    """The shape of one object in answers."""

    def __init__(self, name: str, fields: Sequence[Shown]) -> None:
        self.name = name
        self._fields = tuple(fields)
        self._present_at = functools.lru_cache(maxsize=None)(self._find_present)
        self._plan_for = functools.lru_cache(maxsize=None)(self._make_plan)

    def shower(self, call: "ApiCall") -> Shower:
        """A function that shows an object as this call's answer has it."""
        present = self._present_at(call.version)
        visible = tuple(field.when is None or field.when(call) for field in present)
        plain, attributes, made = self._plan_for(call.version, visible)

        def show(thing: Any) -> dict[str, Any]:
            shown = dict(zip(plain, attributes(thing), strict=True))
            for name, make in made:
                value = make(thing, call)
                if value is not ABSENT:
                    shown[name] = value
            return shown

        return show

    def _find_present(self, version: int) -> tuple[Shown, ...]:
        return tuple(field for field in self._fields if version in field.span)

    def _make_plan(self, version: int, visible: tuple[bool, ...]) -> _Plan:
        fields = list(itertools.compress(self._present_at(version), visible))
        plain = {f.name: f.source for f in fields if isinstance(f.source, str)}
        made = tuple(_Made(f.name, f.source) for f in fields if not isinstance(f.source, str))
        return _Plan(tuple(plain), _attributes(*plain.values()), made)

    def show(self, thing: Any, call: "ApiCall") -> dict[str, Any]:
        """One object as this call's answer has it."""
        return self.shower(call)(thing)

    def schema(self, version: int) -> Schema:
        """What the answer looks like at 2.`version`; any field may be hidden by policy."""
        present = [field for field in self._fields if version in field.span]
        return {
            "type": "object",
            "properties": {field.name: field.type.schema(version) for field in present},
            "additionalProperties": False,
        }


def _attributes(*names: str) -> Callable[[Any], Iterable[Any]]:
    """A function that gives these attributes of an object."""
    if len(names) > 1:
        return attrgetter(*names)
    getters = [attrgetter(name) for name in names]  # a lone one gives no tuple
    return lambda thing: [get(thing) for get in getters]


class Answer:
    """What an operation answers: turns what a responder returned into the body."""

    def body(self, result: Any, call: "ApiCall") -> Any:
        """The document to send."""
        raise NotImplementedError

    def schema(self, version: int) -> Schema:
        """Its JSON Schema at 2.`version`."""
        raise NotImplementedError


class One(Answer):
    """`{key: object}`."""

    def __init__(self, key: str, view: View) -> None:
        self._key, self._view = key, view

    def body(self, result: Any, call: "ApiCall") -> Any:
        return {self._key: self._view.show(result, call)}

    def schema(self, version: int) -> Schema:
        return {
            "type": "object",
            "properties": {self._key: self._view.schema(version)},
            "required": [self._key],
        }


class Listing(Answer):
    """`{key: [objects]}`, with a link to the next page where the list has pages.

    `paged_since`: from when it has; `marker`: gives an object's marker. `links_key` defaults to
    `<key>_links`.
    """

    def __init__(
        self,
        key: str,
        view: View,
        *,
        paged_since: str | None = None,
        marker: Callable[[Any, "ApiCall"], str] | None = None,
        links_key: str | None = None,
    ) -> None:
        self._key, self._view, self._marker = key, view, marker
        self._paged = Span.between(paged_since, None) if paged_since else None
        self._links_key = links_key or f"{key}_links"

    def body(self, result: Any, call: "ApiCall") -> Any:
        show = self._view.shower(call)
        # Each is JSON before the next one is made: a long list is never there as objects.
        shown = [msgspec.Raw(_encode(show(thing))) for thing in result]
        document: dict[str, Any] = {self._key: shown}
        if self._marker and self._paged and result and call.version in self._paged:
            limit = call.page_limit()
            if limit is not None and len(result) >= limit:
                href = call.links.next_page(self._marker(result[-1], call))
                document[self._links_key] = [{"rel": "next", "href": href}]
        return document

    def schema(self, version: int) -> Schema:
        return {
            "type": "object",
            "properties": {
                self._key: {"type": "array", "items": self._view.schema(version)},
                self._links_key: {"type": "array"},
            },
            "required": [self._key],
        }


class Raw(Answer):
    """The document as the responder made it, for answers that are no object's view."""

    def __init__(self, type_: Type) -> None:
        self._type = type_

    def body(self, result: Any, call: "ApiCall") -> Any:
        return result

    def schema(self, version: int) -> Schema:
        return self._type.schema(version)

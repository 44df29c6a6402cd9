# SPDX-License-Identifier: Apache-2.0
"""Which instances a list of servers has, and in which order: ServerFilters as SQL.

Words are those of the API's query string and of `Instance`'s fields (contract: errors.md §7).
Ties of every order are broken by id, so a page always begins where the one before it ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from common.clock import moment_of
from common.errors import Invalid
from common.objects.new_server import ServerFilters
from common.states import VmState
from services.conductor.db.tables import instances

_i = instances.c
_changed_at = func.coalesce(_i.updated_at, _i.created_at)
_Any = ColumnElement[Any]

_WORDS: dict[str, _Any] = {
    "uuid": _i.uuid, "id": _i.id, "name": _i.name, "display_name": _i.name,
    "hostname": _i.hostname, "description": _i.description, "display_description": _i.description,
    "project_id": _i.project_id, "tenant_id": _i.project_id, "user_id": _i.user_id,
    "image": _i.image_id, "image_ref": _i.image_id, "image_id": _i.image_id,
    "flavor": _i.flavorid, "flavorid": _i.flavorid, "instance_type_id": _i.flavorid,
    "kernel_id": _i.kernel_id, "ramdisk_id": _i.ramdisk_id,
    "vm_state": _i.vm_state, "task_state": _i.task_state, "power_state": _i.power_state,
    "host": _i.host, "node": _i.node, "launched_on": _i.launched_on,
    "availability_zone": _i.availability_zone, "reservation_id": _i.reservation_id,
    "launch_index": _i.launch_index, "key_name": _i.key_name,
    "config_drive": case((_i.config_drive, "True"), else_=""),
    "root_device_name": _i.root_device_name, "progress": _i.progress,
    "access_ip_v4": _i.access_ip_v4, "access_ip_v6": _i.access_ip_v6,
    "auto_disk_config": _i.disk_config, "disk_config": _i.disk_config,
    "locked": _i.locked_by.is_not(None), "locked_by": _i.locked_by,
    "created_at": _i.created_at, "updated_at": _i.updated_at,
    "launched_at": _i.launched_at, "terminated_at": _i.terminated_at,
}  # fmt: skip
_ADDRESSES = frozenset(("ip", "ip6"))
# Where the order of the API and of the database differ: not yet placed comes first.
_NULLS_FIRST = frozenset(("host", "node"))
_NEVER_NULL = frozenset(("created_at", "id", "uuid", "name", "display_name"))

_EVERY_ADDRESS: _Any = literal_column("'$[*].fixed_ips[*].address'::jsonpath")
_ITSELF: _Any = literal_column("'{}'::text[]")


def conditions(filters: ServerFilters) -> Iterator[_Any]:
    """What a row must fulfil. Raises: Invalid (unknown filter)."""
    if filters.project_id is not None:
        yield _i.project_id == filters.project_id
    if filters.user_id is not None:
        yield _i.user_id == filters.user_id
    for word, values in filters.columns.items():
        yield _one_of(word, values)
    for word, pattern in filters.patterns.items():
        yield _address(word, pattern) if word in _ADDRESSES else _matches(word, pattern)
    if filters.vm_states:
        yield _i.vm_state.in_(filters.vm_states)
    if filters.task_states:
        yield _i.task_state.in_(filters.task_states)
    if filters.locked is not None:
        yield _i.locked_by.is_not(None) if filters.locked else _i.locked_by.is_(None)
    yield from _deleted(filters)
    if filters.metadata:
        yield _i.metadata.contains(literal(filters.metadata, JSONB))
    yield from _tags(filters)
    if filters.changes_since:
        yield _changed_at >= _moment(filters.changes_since)
    if filters.changes_before:
        yield _changed_at <= _moment(filters.changes_before)


def _deleted(filters: ServerFilters) -> Iterator[_Any]:
    if filters.deleted is None:
        return
    is_soft = _i.vm_state == VmState.SOFT_DELETED
    if filters.deleted:
        gone = _i.deleted_at.is_not(None)
        yield gone if filters.soft_deleted is False else or_(gone, is_soft)
        return
    yield _i.deleted_at.is_(None)
    if not filters.soft_deleted and VmState.SOFT_DELETED not in filters.vm_states:
        yield ~is_soft


def _tags(filters: ServerFilters) -> Iterator[_Any]:
    if filters.tags_all:
        yield _i.tags.contains(_array(filters.tags_all))
    if filters.tags_any:
        yield _i.tags.overlap(_array(filters.tags_any))
    if filters.not_tags_all:
        yield ~_i.tags.contains(_array(filters.not_tags_all))
    if filters.not_tags_any:
        yield ~_i.tags.overlap(_array(filters.not_tags_any))


def _array(tags: tuple[str, ...]) -> _Any:
    return literal(list(tags), ARRAY(Text))


def _moment(text: str) -> _Any:
    try:
        return literal(moment_of(text), DateTime(timezone=True))
    except ValueError as malformed:
        raise Invalid(f"Invalid time: {text}") from malformed


def _expression(word: str) -> _Any:
    if word not in _WORDS:
        raise Invalid(f"Invalid filter field: {word}.")
    return _WORDS[word]


def _one_of(word: str, values: list[str]) -> _Any:
    column = _expression(word)
    return (column if isinstance(column.type, String) else _as_text(column)).in_(values)


def _matches(word: str, pattern: str) -> _Any:
    return _as_text(_expression(word)).regexp_match(pattern)


def _as_text(column: _Any) -> _Any:
    """A column as the text that patterns are matched with."""
    if isinstance(column.type, DateTime):
        return func.to_char(column, "YYYY-MM-DD HH24:MI:SS")
    return column if isinstance(column.type, String) else cast(column, Text)


def _address(word: str, pattern: str) -> _Any:
    """Some fixed address of the family matches; addresses of version 6 are those with a colon."""
    address = func.jsonb_path_query(_i.vifs, _EVERY_ADDRESS).column_valued("address")
    text = cast(address.op("#>>")(_ITSELF), Text)
    family = text.like("%:%") if word == "ip6" else text.not_like("%:%")
    return exists(select(1).where(text.regexp_match(pattern), family).correlate(instances))


@dataclass(frozen=True)
class Order:
    """An order of instances that ends with the id, and what comes after a row in it."""

    words: tuple[str, ...]
    descending: tuple[bool, ...]

    @property
    def expressions(self) -> tuple[_Any, ...]:
        """What is ordered by, most significant first."""
        return tuple(_WORDS[word] for word in self.words)

    def clauses(self) -> Iterator[_Any]:
        """The parts of ORDER BY."""
        for word, descending in zip(self.words, self.descending, strict=True):
            column = _WORDS[word]
            ordered = column.desc() if descending else column.asc()
            if word in _NEVER_NULL:
                yield ordered
            else:
                yield ordered.nulls_first() if self._nulls_first(word) else ordered.nulls_last()

    def after(self, values: tuple[Any, ...]) -> _Any:
        """The rows behind the row that has `values` in `expressions`."""
        if len(set(self.descending)) == 1 and _NEVER_NULL.issuperset(self.words):
            # One comparison of rows: an index on these columns begins right there.
            row = tuple_(*self.expressions)
            bound = tuple_(*map(_bound, self.expressions, values))
            return row < bound if self.descending[0] else row > bound
        alternatives = []
        equal: list[_Any] = []
        for word, descending, value in zip(self.words, self.descending, values, strict=True):
            column = _WORDS[word]
            alternatives.append(and_(*equal, self._behind(word, descending, value)))
            equal.append(column.is_(None) if value is None else column == _bound(column, value))
        return or_(*alternatives)

    def _behind(self, word: str, descending: bool, value: Any) -> _Any:
        column = _WORDS[word]
        nulls_first = self._nulls_first(word)
        if value is None:
            return column.is_not(None) if nulls_first else false()
        bound = _bound(column, value)
        behind = column < bound if descending else column > bound
        return behind if nulls_first else or_(behind, column.is_(None))

    def _nulls_first(self, word: str) -> bool:
        """What has no value counts as less than everything; an unplaced instance leads always."""
        return word in _NULLS_FIRST or not self.descending[self.words.index(word)]


def _bound(column: _Any, value: Any) -> _Any:
    return literal(value, column.type)


def order(sort: tuple[tuple[str, str], ...]) -> Order:
    """The order that (key, direction) pairs ask for. Raises: Invalid."""
    words: list[str] = []
    descending: list[bool] = []
    for word, direction in sort or (("created_at", "desc"),):
        if word not in _WORDS:
            raise Invalid(f"Sort key supplied is invalid: {word}")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Unknown sort direction, must be one of: asc, desc; not {direction}")
        if word not in words:
            words.append(word)
            descending.append(direction == "desc")
    if "id" not in words:
        words.append("id")
        descending.append(descending[0])
    return Order(tuple(words), tuple(descending))

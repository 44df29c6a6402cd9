# SPDX-License-Identifier: Apache-2.0
"""`GET /v2/images`: filters, order and pages."""

import csv
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import falcon
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller
from services.companion.image import records
from services.companion.image.attributes import VISIBILITIES
from services.companion.store import tables
from services.companion.web import query
from services.companion.web.faults import Fault

_PER_PAGE = 100
_LONGEST_IN = 500
_PAGING = frozenset(("limit", "marker", "sort", "sort_key", "sort_dir"))
_SORTABLE = frozenset(
    (
        "id", "name", "status", "disk_format", "container_format", "size", "virtual_size",
        "created_at", "updated_at", "min_disk", "min_ram", "owner", "visibility",
    )
)  # fmt: skip
_EQUAL = frozenset(
    ("id", "name", "status", "disk_format", "container_format", "owner", "checksum",
     "os_hash_algo", "os_hash_value")
)  # fmt: skip
_NUMBERS = frozenset(("size", "virtual_size", "min_disk", "min_ram"))
_FLAGS = frozenset(("protected", "os_hidden"))
_TIMES = frozenset(("created_at", "updated_at"))
_i = tables.images.c


def page(conn: Connection, caller: Caller, req: falcon.Request) -> dict[str, Any]:
    """The answer to a list request. Raises Fault 400."""
    asked = query.values(req)
    size = query.limit(req, _PER_PAGE) or _PER_PAGE
    order = [column.asc() if up else column.desc() for column, up in _order(asked)]
    ids = list(
        conn.scalars(select(_i.id).where(*_conditions(caller, asked)).order_by(*order))
    )  # fmt: skip
    marker = query.first(req, "marker")
    start = 0
    if marker is not None:
        if marker not in ids:
            raise Fault(400, "The marker is no image of this list.")
        start = ids.index(marker) + 1
    chosen = ids[start : start + size]
    kept = [(k, v) for k, values in asked.items() if k != "marker" for v in values]
    answer: dict[str, Any] = {
        "images": [records.show(image) for image in records.load(conn, chosen)],
        "first": _link(kept),
        "schema": "/v2/schemas/images",
    }
    if len(ids) > start + size:
        answer["next"] = _link([*kept, ("marker", chosen[-1])])
    return answer


def _link(parameters: Sequence[tuple[str, str]]) -> str:
    return "/v2/images" + (f"?{urlencode(parameters)}" if parameters else "")


def _order(asked: dict[str, list[str]]) -> list[tuple[Any, bool]]:
    keys, directions = asked.get("sort_key", []), asked.get("sort_dir", [])
    pairs: list[tuple[str, str]]
    if "sort" in asked:
        if keys or directions:
            raise Fault(400, "sort goes without sort_key and sort_dir.")
        parts = (part.partition(":") for part in asked["sort"][0].split(","))
        pairs = [(key.strip(), direction or "desc") for key, _, direction in parts]
    else:
        pairs = [
            (key, directions[n] if n < len(directions) else (directions or ["desc"])[0])
            for n, key in enumerate(keys)
        ]
    first = (directions or ["desc"])[0]
    known = {key for key, _ in pairs}
    pairs += [(key, first) for key in ("created_at", "id") if key not in known]
    for key, direction in pairs:
        if key not in _SORTABLE or direction not in ("asc", "desc"):
            raise Fault(400, "Cannot sort by this key or in this direction.")
    return [(_i[key], direction == "asc") for key, direction in pairs]


def _conditions(caller: Caller, asked: dict[str, list[str]]) -> list[ColumnElement[bool]]:
    conditions = [_visible(caller, asked)]
    if "os_hidden" not in asked:
        conditions.append(~_i.os_hidden)
    for name, values in asked.items():
        if name in _PAGING or name in ("visibility", "member_status"):
            continue
        conditions.extend(_condition(name, value) for value in values)
    return conditions


def _visible(caller: Caller, asked: dict[str, list[str]]) -> ColumnElement[bool]:
    """What a list shows of what the caller may see: other people's community images on request."""
    wanted = asked.get("visibility", [None])[0]
    member_status = asked.get("member_status", ["accepted"])[0]
    if wanted not in (*VISIBILITIES, "all", None):
        raise Fault(400, "Invalid visibility value.")
    if member_status not in ("accepted", "pending", "rejected", "all"):
        raise Fault(400, "Invalid member_status value.")
    shared = records.shared_with(
        caller.project_id, None if member_status == "all" else member_status
    )
    seen = or_(_i.visibility == "public", _i.owner == caller.project_id, shared)
    if caller.reads_everything:
        seen = or_(_i.visibility != "community", _i.owner == caller.project_id)
    if wanted == "all":
        return or_(seen, _i.visibility == "community")
    if wanted is not None:
        return (_i.visibility == wanted) & or_(seen, _i.visibility == "community")
    return seen


def _condition(name: str, value: str) -> ColumnElement[bool]:
    if name in _EQUAL:
        return _i[name].in_(_in_list(value)) if value.startswith("in:") else _i[name] == value
    if name in _FLAGS:
        if value.lower() not in ("true", "false"):
            raise Fault(400, f"{name} must be true or false.")
        return _i[name].is_(value.lower() == "true")
    if name in _NUMBERS:
        return _numeric(name, value)
    if name in _TIMES:
        return _time(name, value)
    return _about_more(name, value)


def _about_more(name: str, value: str) -> ColumnElement[bool]:
    """Filters that are no attribute by name: bounds of the size, a tag, a free property."""
    if name in ("size_min", "size_max"):
        number = _number(name, value)
        return _i.size >= number if name == "size_min" else _i.size <= number
    if name == "tag":
        t = tables.image_tags.c
        return _i.id.in_(select(t.image_id).where(t.tag == value))
    p = tables.image_properties.c
    return _i.id.in_(select(p.image_id).where(p.name == name, p.value == value))


def _numeric(name: str, value: str) -> ColumnElement[bool]:
    """A numeric attribute with this value."""
    return _i[name] == _number(name, value)


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Fault(400, f"{name} must be a number of zero or more.")
    return int(value)


def _in_list(value: str) -> list[str]:
    # A comma inside double quotes belongs to the value.
    items = next(csv.reader([value[3:].replace("\n", " ").replace("\r", " ")]), [])
    if not items or len(items) > _LONGEST_IN:
        raise Fault(400, f"in: takes 1 to {_LONGEST_IN} values.")
    return items


def _time(name: str, value: str) -> ColumnElement[bool]:
    operators = ("gt", "gte", "lt", "lte", "eq", "neq")
    operator, colon, moment = value.partition(":")
    if operator not in operators or not colon:
        operator, moment = "eq", value
    column = _i[name]
    return {
        "gt": column > moment,
        "gte": column >= moment,
        "lt": column < moment,
        "lte": column <= moment,
        "eq": column == moment,
        "neq": column != moment,
    }[operator]

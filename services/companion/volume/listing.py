# SPDX-License-Identifier: Apache-2.0
"""Lists of the Block Storage API: filters, order, pages, counts."""

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import falcon
from sqlalchemy import ColumnElement, Table, exists, false, func, select, text, true
from sqlalchemy.engine import Connection

from services.companion.volume.call import VolumeCall
from services.companion.volume.records import Row
from services.companion.web import query
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

Filter = Callable[[VolumeCall, str], ColumnElement[bool]]

TRUE, FALSE = (
    frozenset(("true", "t", "1", "yes", "on", "y")),
    frozenset(("false", "f", "0", "no", "off", "n")),
)
_PAGING = frozenset(("limit", "marker", "offset", "sort", "sort_key", "sort_dir"))
_ABOUT_ALL = frozenset(("all_tenants", "with_count", "project_id", "tenant_id"))
_LONGEST_DICTIONARY = 2000
_MOST = 2**31 - 1
_OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")


@dataclass(frozen=True)
class Listed:
    """What can be listed, and by which words."""

    table: Table
    plural: str
    title: str
    sort_keys: Mapping[str, str]  # as asked, and the column
    filters: Mapping[str, Filter]


@dataclass(frozen=True)
class Page:
    """Ids of the rows to show, and what belongs beside them in the answer."""

    ids: list[str]
    extras: Row


def page(conn: Connection, call: VolumeCall, req: falcon.Request, listed: Listed) -> Page:
    """The page that the request asks for. Raises Fault 400 or 404."""
    asked = {name: values[-1] for name, values in query.values(req).items()}
    conditions = [scope(call, listed.table, asked), *_conditions(call, listed, asked)]
    wanted = select(listed.table.c.id).where(*conditions).order_by(*_order(listed, asked))
    size = min(whole(asked, "limit", query.MOST_PER_PAGE), query.MOST_PER_PAGE)
    start = whole(asked, "offset", 0)
    marker = asked.get("marker")
    if marker is not None:
        known = list(conn.scalars(wanted))
        if marker not in known:
            raise Fault(404, f"{listed.title} {shown(marker)} could not be found.")
        start += known.index(marker) + 1
    ids = list(conn.scalars(wanted.offset(start).limit(size)))
    extras: Row = {}
    # As Cinder: behind a full page there may be nothing more.
    if len(ids) == size > 0:
        extras[f"{listed.plural}_links"] = [{"rel": "next", "href": _next(req, asked, ids[-1])}]
    if call.at_least(45) and boolean(asked.get("with_count", "false"), "with_count"):
        extras["count"] = conn.scalar(
            select(func.count()).select_from(listed.table).where(*conditions)
        )
    return Page(ids, extras)


def scope(call: VolumeCall, table: Table, asked: Mapping[str, str]) -> ColumnElement[bool]:
    """Whose rows: the own project's, or everybody's for those who ask and may."""
    everybody = asked.get("all_tenants", "false").lower() not in FALSE
    if not (everybody and call.sees_everything):
        return table.c.project_id == (call.project_id or "")
    wanted = asked.get("project_id") or asked.get("tenant_id")
    return table.c.project_id == wanted if wanted else true()


def whole(asked: Mapping[str, str], name: str, default: int) -> int:
    """A number of zero or more. Raises Fault 400."""
    given = asked.get(name)
    if given is None:
        return default
    if not re.fullmatch(r"[0-9]{1,10}", given, re.ASCII) or int(given) > _MOST:
        raise Fault(400, f"{name} must be an integer from 0 to {_MOST}.")
    return int(given)


def boolean(value: str, name: str) -> bool:
    """True or false, as clients write it. Raises Fault 400."""
    word = value.lower()
    if word not in TRUE | FALSE:
        raise Fault(400, f"Invalid input received: {name}={shown(value)}")
    return word in TRUE


def _next(req: falcon.Request, asked: Mapping[str, str], last: str) -> str:
    kept = [(k, v) for k, v in asked.items() if k not in ("marker", "offset")]
    project = req.context.volume_project
    path = req.path.replace("/v3", f"/v3/{project}", 1) if project else req.path
    return f"{req.context.base_url}{path}?{urlencode([*kept, ('marker', last)])}"


def _order(listed: Listed, asked: Mapping[str, str]) -> list[Any]:
    if "sort" in asked:
        if "sort_key" in asked or "sort_dir" in asked:
            raise Fault(400, "The 'sort_key' and 'sort_dir' parameters cannot be used with 'sort'.")
        pairs = [part.strip().partition(":")[::2] for part in asked["sort"].split(",") if part]
    else:
        pairs = [(asked.get("sort_key", "created_at"), asked.get("sort_dir", ""))]
    clauses = []
    for key, direction in [*pairs, ("id", pairs[-1][1] if pairs else "")]:
        column = listed.sort_keys.get(key.strip())
        if column is None or direction.strip() not in ("asc", "desc", ""):
            raise Fault(400, f"Cannot sort by {shown(key)} {shown(direction)}.")
        ordered = listed.table.c[column]
        clauses.append(ordered.asc() if direction.strip() == "asc" else ordered.desc())
    return clauses


def _conditions(
    call: VolumeCall, listed: Listed, asked: Mapping[str, str]
) -> list[ColumnElement[bool]]:
    conditions = []
    for name, value in asked.items():
        if name in _PAGING or name in _ABOUT_ALL:
            continue
        if name.endswith("~") and call.at_least(34):
            conditions.append(_like(listed, name[:-1], value))
        elif name in listed.filters:
            conditions.append(listed.filters[name](call, value))
        elif call.at_least(31) and not call.is_admin:
            raise Fault(400, f"Invalid filters {shown(name)} are found in query options.")
    return conditions


def _like(listed: Listed, name: str, value: str) -> ColumnElement[bool]:
    column = listed.sort_keys.get(name)
    if column is None:
        raise Fault(400, f"Invalid filters {shown(name)}~ are found in query options.")
    found: ColumnElement[bool] = listed.table.c[column].contains(value, autoescape=True)
    return found


# --- filters ---------------------------------------------------------------------------------


def equals(column: ColumnElement[Any]) -> Filter:
    """A text column with this value."""
    return lambda _, value: column == value


def number(column: ColumnElement[Any]) -> Filter:
    """A number column with this value; what is no number is nowhere."""
    return lambda _, value: column == int(value) if re.fullmatch("[0-9]{1,9}", value) else false()


def flag(column: ColumnElement[Any], name: str) -> Filter:
    """A boolean column. Raises Fault 400."""
    return lambda _, value: column.is_(boolean(value, name))


def pairs(table: Table, column: str) -> Filter:
    """Rows whose JSON column has each pair of a dictionary, which clients write as Python does."""

    def condition(_: VolumeCall, value: str) -> ColumnElement[bool]:
        found: ColumnElement[bool] = true()
        for n, (key, item) in enumerate(dictionary(value).items()):
            each = func.json_each(table.c[column]).table_valued(
                "key", "value", name=f"{column}_{n}"
            )
            found = found & exists(
                select(text("1")).select_from(each).where(each.c.key == key, each.c.value == item)
            )
        return found

    return condition


def dictionary(value: str) -> dict[str, str]:
    """A dictionary of text, in JSON or as Python shows it. Raises Fault 400."""
    if len(value) <= _LONGEST_DICTIONARY:
        for read in (json.loads, ast.literal_eval):
            try:
                given = read(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                continue
            if isinstance(given, dict) and len(given) <= 32:
                return {str(k): str(v) for k, v in given.items()}
    raise Fault(400, f"{shown(value)} is no dictionary of text.")


def moment(column: ColumnElement[Any]) -> Filter:
    """A time, or `gt:`, `lte:` and so on before times, comma between (3.60)."""

    def condition(_: VolumeCall, value: str) -> ColumnElement[bool]:
        found: ColumnElement[bool] = true()
        for part in value.split(",")[:8]:
            operator, colon, when = part.partition(":")
            if operator not in _OPERATORS or not colon:
                operator, when = "eq", part
            found = found & _compared(column, operator, _iso(when))
        return found

    return condition


def _iso(when: str) -> str:
    shape = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?(?:Z|\+00:00)?)?", when, re.ASCII
    )
    if shape is None:
        raise Fault(400, f"{shown(when)} is no time in ISO 8601 format.")
    return f"{shape[1]}T{shape[2] or '00:00:00'}{(shape[3] or '.0').ljust(7, '0')}"


def _compared(column: ColumnElement[Any], operator: str, when: str) -> ColumnElement[bool]:
    compared: dict[str, ColumnElement[bool]] = {
        "gt": column > when,
        "gte": column >= when,
        "lt": column < when,
        "lte": column <= when,
        "eq": column == when,
        "neq": column != when,
    }
    return compared[operator]

# SPDX-License-Identifier: Apache-2.0
"""Lists of the Shared File Systems API: filters, order, pages, counts.

Filters that are not known are passed over, as clients expect of this API.
"""

from collections.abc import Collection
from typing import Any

import falcon
from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.engine import Connection

from services.companion.share import records
from services.companion.share.records import Row
from services.companion.volume.listing import FALSE, whole
from services.companion.web import query
from services.companion.web.faults import Fault
from services.companion.web.fields import shown


def asked(req: falcon.Request) -> dict[str, str]:
    """The query's parameters, the last one of each."""
    return {name: values[-1] for name, values in query.values(req).items()}


def is_set(given: dict[str, str], name: str) -> bool:
    """Whether a flag such as `all_tenants` is given, and true."""
    return given.get(name, "false").lower() not in FALSE


def page(
    conn: Connection,
    table: Table,
    given: dict[str, str],
    scope: ColumnElement[bool],
    filters: Collection[str],
) -> tuple[list[Row], int]:
    """The rows that are asked for, and how many there are on all pages. Raises Fault 400."""
    conditions = [scope, *(table.c[n] == given[n] for n in filters if n in given)]
    conditions += [
        table.c[n].contains(given[f"{n}~"], autoescape=True) for n in filters if f"{n}~" in given
    ]
    wanted = select(table).where(*conditions).order_by(_order(table, given), table.c.id)
    size = min(whole(given, "limit", query.MOST_PER_PAGE), query.MOST_PER_PAGE)
    found = conn.execute(wanted.offset(whole(given, "offset", 0)).limit(size)).mappings()
    return [dict(row) for row in found], records.count(conn, table, *conditions)


def _order(table: Table, given: dict[str, str]) -> ColumnElement[Any]:
    key, direction = given.get("sort_key", "created_at"), given.get("sort_dir", "desc").lower()
    if key not in table.c or direction not in ("asc", "desc"):
        raise Fault(400, f"Lists are not sorted by {shown(key)} {shown(direction)}.")
    column: ColumnElement[Any] = table.c[key]
    return column.asc() if direction == "asc" else column.desc()

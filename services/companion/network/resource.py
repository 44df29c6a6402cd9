# SPDX-License-Identifier: Apache-2.0
"""What every resource of the Network API does alike: list, show, create, change, delete.

A resource says which fields it has, who sees it and what its verbs mean; paging, filters, bulk
creation, ownership and error bodies are here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import falcon
from sqlalchemy import ColumnElement, Table, func, insert, or_, select, true, update
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection
from sqlalchemy.types import Boolean, Integer

from common.clock import Clock
from common.ids import new_uuid
from services.companion.identity.callers import Caller, caller_of
from services.companion.network.plane.keeper import Plane
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields, query
from services.companion.web.body import answer, read_json
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, text

Row = dict[str, Any]
Filter = Callable[[Sequence[str]], ColumnElement[bool]]

BASE = "/network/v2.0"
_MOST_AT_ONCE = 200
_PAGING = frozenset(("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"))

NAME = Field("name", text(255), default="")
DESCRIPTION = Field("description", text(255), default="")
PROJECT = (
    Field("project_id", text(255, 1), update=False),
    Field("tenant_id", text(255, 1), update=False),
)


class Resource(ABC):
    """`/v2.0/<path>` and `/v2.0/<path>/{id}`."""

    singular: ClassVar[str]
    plural: ClassVar[str]
    title: ClassVar[str]  # as error types and messages begin, such as SecurityGroup
    table: ClassVar[Table]
    fields: ClassVar[tuple[Field, ...]]
    filters: ClassVar[Mapping[str, Filter]] = {}

    def __init__(self, store: Store, clock: Clock, plane: Plane) -> None:
        self._store = store
        self._clock = clock
        self._plane = plane

    # What a resource decides.

    @abstractmethod
    def show_all(self, conn: Connection, rows: Sequence[Row], caller: Caller) -> list[Row]:
        """Rows as the API shows them; a fixed number of statements whatever their number."""

    @abstractmethod
    def create(self, conn: Connection, caller: Caller, row: Row) -> None:
        """Insert a new row (id, project_id and times are in it). May raise Faults."""

    @abstractmethod
    def change(self, conn: Connection, caller: Caller, row: Row, values: Row) -> None:
        """Change a row to `values`. May raise Faults."""

    @abstractmethod
    def remove(self, conn: Connection, caller: Caller, row: Row) -> None:
        """Delete a row. Raises Fault 409 when it is in use."""

    def visible(self, caller: Caller) -> ColumnElement[bool]:
        """What the caller may see: that of the own project."""
        if caller.reads_everything:
            return true()
        return self.table.c.project_id == (caller.project_id or "")

    # The verbs.

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of those that the caller sees."""
        caller, asked = caller_of(req), query.values(req)
        size = query.limit(req)
        with self._store.read() as conn:
            rows = [dict(r) for r in conn.execute(self._page(conn, caller, asked, size)).mappings()]
            more = size is not None and len(rows) > size
            shown = self.show_all(conn, rows[:size] if size else rows, caller)
        body: Row = {self.plural: [query.only(asked.get("fields"), item) for item in shown]}
        if more:
            link = f"{req.context.base_url}{req.path}?limit={size}&marker={shown[-1]['id']}"
            body[f"{self.plural}_links"] = [{"rel": "next", "href": link}]
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new one, or several at once."""
        caller = caller_of(req)
        caller.must_write()
        body = read_json(req)
        several = isinstance(body, dict) and isinstance(body.get(self.plural), list)
        given = body[self.plural] if several else [_inner(body, self.singular)]
        if not 1 <= len(given) <= _MOST_AT_ONCE:
            raise Fault(400, f"From 1 to {_MOST_AT_ONCE} can be created at once.")
        rows = [self.new_row(caller, item) for item in given]
        with self._store.write() as conn:
            for row in rows:
                self.add(conn, caller, row)
            shown = self.show_all(conn, self._rows(conn, [row["id"] for row in rows]), caller)
        self._plane.wake()
        answer(resp, {self.plural: shown} if several else {self.singular: shown[0]}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One of them."""
        caller = caller_of(req)
        with self._store.read() as conn:
            [shown] = self.show_all(conn, [self.find(conn, caller, item_id)], caller)
        answer(resp, {self.singular: query.only(query.values(req).get("fields"), shown)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Change what the body names."""
        caller = caller_of(req)
        given = _inner(read_json(req), self.singular)
        fields.refuse_unknown(self.fields, given)
        values = fields.on_update(self.fields, given)
        self._check_admin_fields(caller, values)
        with self._store.write() as conn:
            row = self.find_own(conn, caller, item_id)
            self.change(conn, caller, row, values)
            ours = self.table.c.id == row["id"]
            conn.execute(update(self.table).where(ours).values(updated_at=self.now()))
            [shown] = self.show_all(conn, self._rows(conn, [row["id"]]), caller)
        self._plane.wake()
        answer(resp, {self.singular: shown})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Delete it."""
        caller = caller_of(req)
        with self._store.write() as conn:
            self.remove(conn, caller, self.find_own(conn, caller, item_id))
        self._plane.wake()
        resp.status = 204

    # What resources share.

    def add(self, conn: Connection, caller: Caller, row: Row) -> None:
        """Create what `new_row` made, if the project may have another. May raise Faults."""
        self._check_quota(conn, row["project_id"])
        self.create(conn, caller, row)

    def find(self, conn: Connection, caller: Caller, item_id: str) -> Row:
        """A row that the caller may see. Raises Fault 404."""
        wanted = select(self.table).where(self.table.c.id == item_id, self.visible(caller))
        row = conn.execute(wanted).mappings().one_or_none()
        if row is None:
            raise self.not_found(item_id)
        return dict(row)

    def find_own(self, conn: Connection, caller: Caller, item_id: str) -> Row:
        """A row that the caller may change. Raises Fault 403 or 404."""
        row = self.find(conn, caller, item_id)
        caller.must_write()
        if not caller.is_admin and row["project_id"] != caller.project_id:
            raise Fault(403, "Changing what belongs to another project needs an administrator.")
        return row

    def not_found(self, item_id: str) -> Fault:
        """The refusal for an id that leads nowhere."""
        words = f"{self.title} {fields.shown(item_id)} could not be found."
        return Fault(404, words, kind=f"{self.title}NotFound")

    def now(self) -> str:
        """The present time as the Network API shows it."""
        return stamp(self._clock.now())

    def standard(self, row: Row) -> Row:
        """The row with what every resource shows."""
        return {
            **row,
            "tenant_id": row["project_id"],
            "tags": [],
            "revision_number": 1,
        }

    def _rows(self, conn: Connection, ids: Sequence[str]) -> list[Row]:
        found = conn.execute(select(self.table).where(self.table.c.id.in_(ids))).mappings()
        rows = {row["id"]: dict(row) for row in found}
        return [rows[i] for i in ids]

    def new_row(self, caller: Caller, given: Any) -> Row:
        """The row of a new resource, before its transaction. Raises Fault 400 or 403."""
        if not isinstance(given, dict):
            raise Fault(400, f"Each {self.singular} must be an object.")
        fields.refuse_unknown(self.fields, given)
        values = fields.on_create(self.fields, given)
        self._check_admin_fields(caller, {k: v for k, v in values.items() if k in given})
        owner = values.pop("tenant_id", None)
        owner = values.pop("project_id", None) or owner or caller.own_project
        if owner != caller.project_id and not caller.is_admin:
            raise Fault(
                400,
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in "
                "request requires admin privileges",
            )
        now = self.now()
        return {**values, "id": new_uuid(), "project_id": owner, "created_at": now,
                "updated_at": now}  # fmt: skip

    def _check_admin_fields(self, caller: Caller, values: Row) -> None:
        """Raise Fault 403 when somebody else sets what only administrators set."""
        for field in self.fields:
            name = field.name
            told = field.admin and name in values and values[name] != field.default
            if told and not caller.is_service:
                raise Fault(403, f"Setting {name} needs an administrator.")

    def _check_quota(self, conn: Connection, project_id: str) -> None:
        q = tables.quotas.c
        limit = conn.scalar(
            select(q.limit).where(q.project_id == project_id, q.resource == self.singular)
        )
        if limit is None or limit < 0:
            return
        used = select(func.count()).where(self.table.c.project_id == project_id)
        if (conn.scalar(used) or 0) >= limit:
            raise Fault(
                409, f"Quota exceeded for resources: ['{self.singular}'].", kind="OverQuota"
            )

    def _page(
        self, conn: Connection, caller: Caller, asked: dict[str, list[str]], size: int | None
    ) -> Any:
        wanted = select(self.table).where(self.visible(caller))
        for name, values in asked.items():
            if name not in _PAGING:
                wanted = wanted.where(self._condition(name, values))
        keys, directions = asked.get("sort_key", []), asked.get("sort_dir", [])
        for n, key in enumerate(keys):
            if key not in self.table.c:
                raise Fault(400, f"Cannot sort by {fields.shown(key)}.")
            column = self.table.c[key]
            down = n < len(directions) and directions[n] == "desc"
            wanted = wanted.order_by(column.desc() if down else column.asc())
        wanted = wanted.order_by(self.table.c.id)
        marker = asked.get("marker", [None])[0]
        if marker is not None:
            ids = list(conn.scalars(wanted.with_only_columns(self.table.c.id)))
            if marker not in ids:
                raise Fault(400, "The marker is no resource of this list.")
            wanted = wanted.offset(ids.index(marker) + 1)
        return wanted.limit(size + 1 if size else -1)

    def _condition(self, name: str, values: Sequence[str]) -> ColumnElement[bool]:
        """One filter; a name that we do not know filters nothing, as in Neutron."""
        if name in self.filters:
            return self.filters[name](values)
        column = self.table.c.get("project_id" if name == "tenant_id" else name)
        if column is None:
            return true()
        return or_(*(column == _typed(column, value) for value in values))


def stamp(moment: datetime) -> str:
    """A time as the Network API shows it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def insert_row(conn: Connection, table: Table, row: Row) -> None:
    """Insert the columns of `row` that the table has. Raises Fault 409 for a duplicate."""
    try:
        conn.execute(insert(table).values({k: v for k, v in row.items() if k in table.c}))
    except sa.IntegrityError as clash:
        raise Fault(409, "Such a resource exists already.", kind="Conflict") from clash


def update_row(conn: Connection, table: Table, item_id: str, values: Row) -> None:
    """Set the columns of `values` that the table has."""
    known = {k: v for k, v in values.items() if k in table.c}
    if known:
        conn.execute(update(table).where(table.c.id == item_id).values(known))


def _inner(body: Any, singular: str) -> Row:
    if not isinstance(body, dict) or not isinstance(body.get(singular), dict):
        raise Fault(400, f"The request body must be an object with an object '{singular}'.")
    return body[singular]  # type: ignore[no-any-return]


def _typed(column: Any, value: str) -> Any:
    if isinstance(column.type, Boolean):
        return value.lower() in ("true", "1", "yes", "on")
    if isinstance(column.type, Integer):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 18 else -1
    return value

# SPDX-License-Identifier: Apache-2.0
"""List, show, create, change and delete, for each kind of `kinds`."""

import uuid
from typing import Any

import falcon
from sqlalchemy import delete, insert, select, update
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from services.companion.identity.callers import Caller, caller_of
from services.companion.identity.kinds import Kind, Row
from services.companion.identity.passwords import Hasher
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields, query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault

_HIDDEN = frozenset(("extra", "password_hash"))
_MOST_EXTRAS = 64


class Collection:
    """`/v3/<plural>` and `/v3/<plural>/{id}`."""

    def __init__(self, kind: Kind, store: Store, hasher: Hasher, base: str) -> None:
        self._kind = kind
        self._store = store
        self._hasher = hasher
        self._path = f"{base}/{kind.plural}"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Those that the caller may see."""
        caller, table = caller_of(req), self._kind.table
        wanted = select(table).order_by(table.c.id)
        for name, values in query.values(req).items():
            if name in self._kind.filters:
                wanted = wanted.where(table.c[name] == _filter_value(name, values[0]))
        with self._store.read() as conn:
            rows = [dict(row) for row in conn.execute(wanted).mappings()]
        if not caller.reads_everything:
            if not self._kind.mine_to_see:
                raise Fault(403, "You are not authorized to perform the requested action.")
            rows = [row for row in rows if self._kind.mine(caller, row)]
        links = {"self": req.context.base_url + self._path, "next": None, "previous": None}
        answer(resp, {self._kind.plural: [self._show(req, row) for row in rows], "links": links})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new one."""
        caller_of(req).must_be_admin()
        given = self._plain(read_object(req, self._kind.singular))
        values = fields.on_create(self._kind.fields, given)
        row = self._stored(values, given)
        row["id"] = (values.get("id") if self._kind.own_id else None) or uuid.uuid4().hex
        if "parent_id" in values and values["parent_id"] is None:
            row["parent_id"] = values["domain_id"]
        with self._store.write() as conn:
            self._kind.check(conn, values)
            self._run(conn, insert(self._kind.table).values(row), row)
            row = self._find(conn, row["id"])
        answer(resp, {self._kind.singular: self._show(req, row)}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One of them."""
        caller = caller_of(req)
        with self._store.read() as conn:
            row = self._find(conn, item_id, caller)
        answer(resp, {self._kind.singular: self._show(req, row)})

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Change what the body names."""
        caller_of(req).must_be_admin()
        given = self._plain(read_object(req, self._kind.singular))
        values = fields.on_update(self._kind.fields, given)
        table = self._kind.table
        changed = self._stored(values, given)
        with self._store.write() as conn:
            known = self._find(conn, item_id)
            self._kind.check(conn, values)
            changed["extra"] = {**known["extra"], **changed.get("extra", {})}
            self._run(conn, update(table).where(table.c.id == item_id).values(changed), changed)
            if table is tables.users and ("password" in values or values.get("enabled") is False):
                conn.execute(delete(tables.tokens).where(tables.tokens.c.user_id == item_id))
            row = self._find(conn, item_id)
        answer(resp, {self._kind.singular: self._show(req, row)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Remove it with all that belongs to it."""
        caller_of(req).must_be_admin()
        with self._store.write() as conn:
            self._kind.deleting(conn, self._find(conn, item_id))
            conn.execute(delete(self._kind.table).where(self._kind.table.c.id == item_id))
        resp.status = 204

    def _plain(self, given: dict[str, Any]) -> dict[str, Any]:
        """The client's object without nulls that mean "not given", and with today's names."""
        if self._kind.plural == "endpoints" and "region" in given and "region_id" not in given:
            given = {**given, "region_id": given["region"]}
        if given.get("is_domain") is False:
            given = {k: v for k, v in given.items() if k != "is_domain"}
        return given

    def _stored(self, values: Row, given: Row) -> Row:
        """Columns for the checked values; what no field declares goes into `extra`."""
        known = {field.name for field in self._kind.fields}
        constant = {name for name, _ in self._kind.constants} | {"id", "links", "region"}
        row = {k: v for k, v in values.items() if k in self._kind.table.c}
        if "description" in row and row["description"] is None:
            row["description"] = ""
        if values.get("password") is not None:
            row["password_hash"] = self._hasher.hash(values["password"])
        free = {k: v for k, v in given.items() if k not in known and k not in constant}
        if len(free) > _MOST_EXTRAS:
            raise Fault(400, f"More than {_MOST_EXTRAS} additional attributes.")
        row["extra"] = free
        return row

    def _run(self, conn: Connection, statement: Any, values: Row) -> None:
        try:
            conn.execute(statement)
        except sa.IntegrityError as clash:
            name = str(values.get("name") or values.get("id") or "")
            raise Fault(
                409,
                f"Conflict occurred attempting to store {self._kind.singular} - Duplicate entry "
                f"found with name {name[:255]}.",
            ) from clash

    def _find(self, conn: Connection, item_id: str, caller: Caller | None = None) -> Row:
        """The row. Raises Fault 404, or 403 when `caller` may not see it."""
        table = self._kind.table
        row = conn.execute(select(table).where(table.c.id == item_id)).mappings().one_or_none()
        if (
            caller is not None
            and not caller.reads_everything
            and (row is None or not self._kind.mine(caller, dict(row)))
        ):
            raise Fault(403, "You are not authorized to perform the requested action.")
        if row is None:
            raise Fault(404, f"Could not find {self._kind.singular}: {fields.shown(item_id)}.")
        return dict(row)

    def _show(self, req: falcon.Request, row: Row) -> Row:
        shown = {**row["extra"], **{k: v for k, v in row.items() if k not in _HIDDEN}}
        shown.update(self._kind.constants)
        if self._kind.plural == "endpoints":
            shown["region"] = row["region_id"]
        if shown.get("default_project_id", "") is None:
            del shown["default_project_id"]
        shown["links"] = {"self": f"{req.context.base_url}{self._path}/{row['id']}"}
        return shown


def _filter_value(name: str, value: str) -> Any:
    if name == "enabled":
        return value.lower() not in ("0", "false", "off", "no")
    return value or None

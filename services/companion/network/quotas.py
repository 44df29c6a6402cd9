# SPDX-License-Identifier: Apache-2.0
"""Quotas of projects: unlimited until an administrator says otherwise."""

from typing import Any

import falcon
from sqlalchemy import Table, delete, func, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from services.companion.identity.callers import caller_of
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, integer

_COUNTED: dict[str, Table] = {
    "network": tables.networks,
    "subnet": tables.subnets,
    "port": tables.ports,
    "router": tables.routers,
    "floatingip": tables.floatingips,
    "security_group": tables.security_groups,
    "security_group_rule": tables.security_group_rules,
}
_UNCOUNTED = ("subnetpool", "rbac_policy")
_IGNORED = ("tenant_id", "project_id", "check_limit", "force")
_FIELDS = (
    *(Field(name, integer(-1, 2**31 - 1)) for name in (*_COUNTED, *_UNCOUNTED)),
    *(Field(name, lambda value: value) for name in _IGNORED),
)
UNLIMITED = -1


class Quotas:
    """`/v2.0/quotas[/{project}[/default, /details.json]]`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Projects with quotas of their own."""
        caller_of(req).must_be_admin()
        q = tables.quotas.c
        with self._store.read() as conn:
            projects = conn.scalars(select(q.project_id).distinct()).all()
            found = [{**_limits(conn, p), "project_id": p, "tenant_id": p} for p in projects]
        answer(resp, {"quotas": found})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The project's limits."""
        _must_see(req, project_id)
        with self._store.read() as conn:
            answer(resp, {"quota": _limits(conn, project_id)})

    def on_get_default(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The limits of a project without its own."""
        _must_see(req, project_id)
        answer(resp, {"quota": _unlimited()})

    def on_get_details(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Limits with what is used."""
        _must_see(req, project_id)
        with self._store.read() as conn:
            limits = _limits(conn, project_id)
            used = {name: _count(conn, table, project_id) for name, table in _COUNTED.items()}
        shown = {
            name: {"limit": limit, "used": used.get(name, 0), "reserved": 0}
            for name, limit in limits.items()
        }
        answer(resp, {"quota": shown})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Set limits; -1 is unlimited."""
        caller_of(req).must_be_admin()
        given = read_object(req, "quota")
        fields.refuse_unknown(_FIELDS, given)
        values = fields.on_update(_FIELDS, given)
        with self._store.write() as conn:
            for name, limit in values.items():
                if name in _IGNORED:
                    continue
                row = {"project_id": project_id, "resource": name, "limit": limit}
                conn.execute(
                    insert(tables.quotas)
                    .values(row)
                    .on_conflict_do_update(
                        index_elements=["project_id", "resource"], set_={"limit": limit}
                    )
                )
            answer(resp, {"quota": _limits(conn, project_id)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """Back to the default."""
        caller_of(req).must_be_admin()
        q = tables.quotas.c
        with self._store.write() as conn:
            conn.execute(delete(tables.quotas).where(q.project_id == project_id))
        resp.status = 204


def _must_see(req: falcon.Request, project_id: str) -> None:
    caller = caller_of(req)
    if project_id != caller.project_id and not caller.reads_everything:
        raise Fault(403, "Quotas of another project need an administrator.")


def _unlimited() -> dict[str, Any]:
    return dict.fromkeys((*_COUNTED, *_UNCOUNTED), UNLIMITED)


def _limits(conn: Connection, project_id: str) -> dict[str, Any]:
    q = tables.quotas.c
    rows = conn.execute(select(q.resource, q.limit).where(q.project_id == project_id))
    return {**_unlimited(), **{row.resource: row.limit for row in rows}}


def _count(conn: Connection, table: Table, project_id: str) -> int:
    return conn.scalar(select(func.count()).where(table.c.project_id == project_id)) or 0

# SPDX-License-Identifier: Apache-2.0
"""Roles of users on projects, domains and the system."""

from typing import Any

import falcon
from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from services.companion.identity import roles
from services.companion.identity.callers import caller_of
from services.companion.identity.kinds import must_exist
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import query
from services.companion.web.body import answer
from services.companion.web.faults import Fault


class Grants:
    """`/v3/<projects|domains>/{target}/users/{user}/roles[/{role}]`, and `/v3/system/users/…`."""

    def __init__(self, store: Store, base: str, kind: str) -> None:
        self._store = store
        self._base = base
        self._kind = kind

    def on_get(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        user_id: str,
        item_id: str = roles.SYSTEM,
    ) -> None:
        """The roles that the user was given on the target."""
        self._must_read(req)
        r, g = tables.roles.c, tables.grants.c
        with self._store.read() as conn:
            self._check(conn, item_id, user_id, None)
            rows = conn.execute(
                select(r.id, r.name, r.domain_id, r.description)
                .join_from(tables.grants, tables.roles)
                .where(g.user_id == user_id, g.target_kind == self._kind, g.target_id == item_id)
                .order_by(r.name)
            ).mappings()
            found = [dict(row) for row in rows]
        links = {"self": req.context.base_url + req.path, "next": None, "previous": None}
        answer(resp, {"roles": found, "links": links})

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, role_id: str,
        item_id: str = roles.SYSTEM,
    ) -> None:  # fmt: skip
        """Give the role. Again: nothing changes."""
        caller_of(req).must_be_admin()
        with self._store.write() as conn:
            self._check(conn, item_id, user_id, role_id)
            conn.execute(
                insert(tables.grants)
                .values(self._key(item_id, user_id, role_id))
                .on_conflict_do_nothing()
            )
        resp.status = 204

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, role_id: str,
        item_id: str = roles.SYSTEM,
    ) -> None:  # fmt: skip
        """204 when the user has the role, 404 when not."""
        self._must_read(req)
        with self._store.read() as conn:
            self._check(conn, item_id, user_id, role_id)
            if not conn.scalar(self._match(tables.grants.select(), item_id, user_id, role_id)):
                raise Fault(404, "Could not find role assignment.")
        resp.status = 204

    on_head_one = on_get_one

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, user_id: str, role_id: str,
        item_id: str = roles.SYSTEM,
    ) -> None:  # fmt: skip
        """Take the role away; tokens lose it at once."""
        caller_of(req).must_be_admin()
        with self._store.write() as conn:
            gone = conn.execute(
                self._match(delete(tables.grants), item_id, user_id, role_id)
            ).rowcount
            if not gone:
                raise Fault(404, "Could not find role assignment.")
        resp.status = 204

    def _must_read(self, req: falcon.Request) -> None:
        if not caller_of(req).reads_everything:
            raise Fault(403, "You are not authorized to perform the requested action.")

    def _check(self, conn: Connection, target: str, user_id: str, role_id: str | None) -> None:
        if self._kind != "system":
            table = tables.projects if self._kind == "project" else tables.domains
            must_exist(conn, table, self._kind, target)
        must_exist(conn, tables.users, "user", user_id)
        must_exist(conn, tables.roles, "role", role_id)

    def _key(self, target_id: str, user_id: str, role_id: str) -> dict[str, str]:
        return {
            "user_id": user_id,
            "target_kind": self._kind,
            "target_id": target_id,
            "role_id": role_id,
        }

    def _match(self, statement: Any, target_id: str, user_id: str, role_id: str) -> Any:
        for name, value in self._key(target_id, user_id, role_id).items():
            statement = statement.where(tables.grants.c[name] == value)
        return statement


class RoleAssignments:
    """`GET /v3/role_assignments`."""

    def __init__(self, store: Store, base: str) -> None:
        self._store = store
        self._base = base

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Who has which role on what; `effective` adds the implied ones."""
        caller, asked = caller_of(req), query.values(req)
        if not caller.reads_everything and asked.get("user.id") != [caller.user_id]:
            raise Fault(403, "You are not authorized to perform the requested action.")
        with self._store.read() as conn:
            found = _assignments(conn, asked)
            if "effective" in asked:
                found = _with_implied(conn, found)
        with_names = asked.get("include_names", ["0"])[0].lower() not in ("0", "false")
        base = req.context.base_url + self._base
        links = {"self": f"{base}/role_assignments", "next": None, "previous": None}
        shown = [_show(row, base, with_names) for row in found]
        answer(resp, {"role_assignments": shown, "links": links})


def _assignments(conn: Connection, asked: dict[str, list[str]]) -> list[dict[str, Any]]:
    of_user, of_project = (tables.domains.alias(name) for name in ("of_user", "of_project"))
    g, u, r, p, d = (
        tables.grants.c, tables.users.c, tables.roles.c, tables.projects.c, tables.domains.c,
    )  # fmt: skip
    wanted = (
        select(
            tables.grants, u.name.label("user_name"), u.domain_id.label("user_domain"),
            of_user.c.name.label("user_domain_name"),
            r.name.label("role_name"), p.name.label("project_name"),
            p.domain_id.label("project_domain"),
            of_project.c.name.label("project_domain_name"), d.name.label("domain_name"),
        )
        .join_from(tables.grants, tables.users).join(tables.roles, g.role_id == r.id)
        .outerjoin(tables.projects, (g.target_kind == "project") & (p.id == g.target_id))
        .join(of_user, of_user.c.id == u.domain_id)
        .outerjoin(of_project, of_project.c.id == p.domain_id)
        .outerjoin(tables.domains, (g.target_kind == "domain") & (d.id == g.target_id))
        .order_by(g.user_id, g.target_kind, g.target_id, r.name)
    )  # fmt: skip
    if "user.id" in asked:
        wanted = wanted.where(g.user_id == asked["user.id"][0])
    if "role.id" in asked and "effective" not in asked:
        wanted = wanted.where(g.role_id == asked["role.id"][0])
    for kind in ("project", "domain", "system"):
        key = f"scope.{kind}.id" if kind != "system" else "scope.system"
        if key in asked:
            target = asked[key][0] if kind != "system" else roles.SYSTEM
            wanted = wanted.where(g.target_kind == kind, g.target_id == target)
    return [dict(row) for row in conn.execute(wanted).mappings()]


def _with_implied(conn: Connection, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    r = tables.roles.c
    names = {row.id: row.name for row in conn.execute(select(r.id, r.name))}
    implied = {row["role_id"]: roles.with_implied(conn, [row["role_id"]]) for row in found}
    more = {
        (row["user_id"], row["target_kind"], row["target_id"], role_id): {
            **row, "role_id": role_id, "role_name": names[role_id],
        }
        for row in found
        for role_id in sorted(implied[row["role_id"]])
    }  # fmt: skip
    return list(more.values())


def _show(row: dict[str, Any], base: str, with_names: bool) -> dict[str, Any]:
    kind, target = row["target_kind"], row["target_id"]
    user: dict[str, Any] = {"id": row["user_id"]}
    role: dict[str, Any] = {"id": row["role_id"]}
    scope: dict[str, Any] = {"all": True} if kind == "system" else {"id": target}
    if with_names:
        domain = {"id": row["user_domain"], "name": row["user_domain_name"]}
        user |= {"name": row["user_name"], "domain": domain}
        role |= {"name": row["role_name"]}
        if kind == "project":
            domain = {"id": row["project_domain"], "name": row["project_domain_name"]}
            scope |= {"name": row["project_name"], "domain": domain}
        elif kind == "domain":
            scope |= {"name": row["domain_name"]}
    place = "system" if kind == "system" else f"{kind}s/{target}"
    link = f"{base}/{place}/users/{row['user_id']}/roles/{row['role_id']}"
    return {"user": user, "role": role, "scope": {kind: scope}, "links": {"assignment": link}}

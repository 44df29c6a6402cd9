# SPDX-License-Identifier: Apache-2.0
"""What a user has: projects, a password to change, application credentials."""

import re
import secrets
import uuid
from typing import Any

import falcon
from sqlalchemy import delete, insert, select, update
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from services.companion.identity.authenticate import Authenticator
from services.companion.identity.callers import Caller, caller_of
from services.companion.identity.passwords import Hasher
from services.companion.identity.token_resources import targets_of
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web import fields, query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, Field, list_of, nullable, strict_flag, text

_REFUSED = "You are not authorized to perform the requested action."


class UserProjects:
    """`GET /v3/users/{user}/projects`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Projects on which the user has a role."""
        _own_or_reader(caller_of(req), item_id)
        with self._store.read() as conn:
            found = targets_of(conn, item_id, "project")
        answer(resp, {"projects": found, "links": _links(req)})


class NoGroups:
    """`GET /v3/groups`, `GET /v3/users/{user}/groups`: there are none."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, item_id: str = "") -> None:
        """An empty list."""
        answer(resp, {"groups": [], "links": _links(req)})


class UserPassword:
    """`POST /v3/users/{user}/password`: users change their own, by naming the old one."""

    public = ("POST",)

    def __init__(self, store: Store, hasher: Hasher, authenticator: Authenticator) -> None:
        self._store = store
        self._hasher = hasher
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """The new password counts, and every token of the user is gone."""
        given = read_object(req, "user")
        new = fields.on_create([Field("password", text(4096, 1), required=True)], given)
        self._authenticator.check_password(item_id, given.get("original_password"))
        hashed = self._hasher.hash(new["password"])
        with self._store.write() as conn:
            users, tokens = tables.users, tables.tokens
            conn.execute(update(users).where(users.c.id == item_id).values(password_hash=hashed))
            conn.execute(delete(tokens).where(tokens.c.user_id == item_id))
        resp.status = 204


def _time(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z?", value
    ):
        raise BadValue("not a time such as 2026-01-31T12:00:00.000000Z.")
    return value.rstrip("Z") + "Z"


_CREDENTIAL = (
    Field("name", text(255, 1), required=True),
    Field("description", nullable(text(65535)), default=""),
    Field("secret", nullable(text(4096, 1)), default=None),
    Field("expires_at", nullable(_time), default=None),
    Field("unrestricted", strict_flag, default=False),
    Field("roles", list_of(fields.struct(id=text(64, 1), name=text(255, 1))), default=list),
)
_SHOWN = ("id", "name", "description", "project_id", "expires_at", "unrestricted")


class ApplicationCredentials:
    """`/v3/users/{user}/application_credentials[/{id}]`: for the own user, in the own project."""

    def __init__(self, store: Store, hasher: Hasher) -> None:
        self._store = store
        self._hasher = hasher

    def on_get(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """The user's credentials, without their secrets."""
        _own_or_reader(caller_of(req), item_id)
        c = tables.application_credentials.c
        wanted = select(tables.application_credentials).where(c.user_id == item_id)
        name = query.first(req, "name")
        if name is not None:
            wanted = wanted.where(c.name == name)
        with self._store.read() as conn:
            rows, names = conn.execute(wanted).mappings().all(), _role_names(conn)
        shown = [_show_credential(dict(row), names) for row in rows]
        answer(resp, {"application_credentials": shown, "links": _links(req)})

    def on_post(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """A new one; its secret is shown this once."""
        caller = caller_of(req)
        _own_unrestricted(caller, item_id)
        values = fields.on_create(_CREDENTIAL, read_object(req, "application_credential"))
        secret = values.pop("secret") or secrets.token_urlsafe(48)
        row = {
            "id": uuid.uuid4().hex,
            "user_id": item_id,
            "project_id": caller.own_project,
            "secret_hash": self._hasher.hash(secret),
            "role_ids": _chosen(caller, values.pop("roles")),
            **values,
        }
        row["description"] = row["description"] or ""
        try:
            with self._store.write() as conn:
                conn.execute(insert(tables.application_credentials).values(row))
                names = _role_names(conn)
        except sa.IntegrityError as clash:
            raise Fault(409, "The user has an application credential of this name.") from clash
        shown = {**_show_credential(row, names), "secret": secret}
        answer(resp, {"application_credential": shown}, 201)

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, credential_id: str
    ) -> None:
        """One of them."""
        _own_or_reader(caller_of(req), item_id)
        c = tables.application_credentials.c
        with self._store.read() as conn:
            row = conn.execute(
                select(tables.application_credentials).where(
                    c.user_id == item_id, c.id == credential_id
                )
            ).mappings().one_or_none()  # fmt: skip
            names = _role_names(conn)
        if row is None:
            raise Fault(404, "Could not find Application Credential.")
        answer(resp, {"application_credential": _show_credential(dict(row), names)})

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, item_id: str, credential_id: str
    ) -> None:
        """Remove it, with every token made by it."""
        caller = caller_of(req)
        if not caller.is_admin:
            _own_unrestricted(caller, item_id)
        table = tables.application_credentials
        with self._store.write() as conn:
            gone = conn.execute(
                delete(table).where(table.c.user_id == item_id, table.c.id == credential_id)
            ).rowcount
        if not gone:
            raise Fault(404, "Could not find Application Credential.")
        resp.status = 204


def _chosen(caller: Caller, wanted: list[dict[str, str]]) -> list[str]:
    """Role ids of the caller's that a credential is limited to. Raises Fault 400."""
    if not wanted:
        return [role["id"] for role in caller.token.roles]
    chosen = [
        role["id"]
        for choice in wanted
        for role in caller.token.roles
        if choice and all(role[key] == value for key, value in choice.items())
    ]
    if len(chosen) != len(wanted):
        raise Fault(400, "An application credential can have only roles of the token.")
    return chosen


def _show_credential(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    held = [{"id": role_id, "name": names.get(role_id, "")} for role_id in row["role_ids"]]
    return {**{name: row[name] for name in _SHOWN}, "roles": held}


def _role_names(conn: Connection) -> dict[str, str]:
    r = tables.roles.c
    return {row.id: row.name for row in conn.execute(select(r.id, r.name))}


def _own_or_reader(caller: Caller, user_id: str) -> None:
    if caller.user_id != user_id and not caller.reads_everything:
        raise Fault(403, _REFUSED)


def _own_unrestricted(caller: Caller, user_id: str) -> None:
    """A stolen restricted credential must not make others."""
    credential = caller.token.application_credential
    if caller.user_id != user_id or (credential and credential["restricted"]):
        raise Fault(403, _REFUSED)


def _links(req: falcon.Request) -> dict[str, str | None]:
    return {"self": req.context.base_url + req.path, "next": None, "previous": None}

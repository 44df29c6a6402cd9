# SPDX-License-Identifier: Apache-2.0
"""`POST /v3/auth/tokens`: prove who you are, choose a scope, get a token."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity import roles, tokens
from services.companion.identity.passwords import Hasher
from services.companion.identity.tokens import Scope
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web.faults import Fault

_REFUSED = "The request you have made requires authentication."
_LONGEST_PASSWORD = 4096


@dataclass(frozen=True)
class Proof:
    """Who somebody proved to be, and what a token for them inherits."""

    user_id: str
    methods: list[str] = field(default_factory=list)
    expires_at: str | None = None
    audit_id: str | None = None
    credential_id: str | None = None
    scope: Scope | None = None
    role_ids: list[str] | None = None


class Authenticator:
    """Turns the `auth` object of a request into a token."""

    def __init__(
        self, store: Store, clock: Clock, hasher: Hasher, *, token_lifetime_s: int
    ) -> None:
        self._store = store
        self._clock = clock
        self._hasher = hasher
        self._lifetime_s = token_lifetime_s

    def token_for(self, auth: dict[str, Any]) -> str:
        """A new token. Raises Fault 400 (not understood) or 401 (not accepted)."""
        identity = member(auth, "identity", dict)
        methods = member(identity, "methods", list)
        proof = self._prove(identity, methods)
        with self._store.read() as conn:
            scope = proof.scope or _wanted_scope(conn, auth.get("scope"), proof.user_id)
            self._check_scope(conn, proof, scope)
        token, now = tokens.new_token(), self._clock.now()
        with self._store.write() as conn:
            tokens.insert_token(
                conn,
                token,
                user_id=proof.user_id,
                scope=scope,
                methods=proof.methods,
                now=now,
                expires_at=proof.expires_at
                or tokens.stamp(now + timedelta(seconds=self._lifetime_s)),
                parent_audit_id=proof.audit_id,
                application_credential_id=proof.credential_id,
            )
        return token

    def check_password(self, user_id: str, password: Any) -> None:
        """Raises Fault 401 unless it is the user's password."""
        with self._store.read() as conn:
            known = conn.scalar(
                select(tables.users.c.password_hash).where(tables.users.c.id == user_id)
            )
        if not self._hasher.matches(_password(password), known):
            raise Fault(401, _REFUSED)

    def _prove(self, identity: dict[str, Any], methods: list[Any]) -> Proof:
        if methods == ["password"]:
            return self._by_password(member(identity, "password", dict))
        if methods == ["token"]:
            return self._by_token(member(identity, "token", dict))
        if methods == ["application_credential"]:
            return self._by_credential(member(identity, "application_credential", dict))
        raise Fault(401, "Attempted to authenticate with an unsupported method.")

    def _by_password(self, given: dict[str, Any]) -> Proof:
        user = member(given, "user", dict)
        password = _password(user.get("password"))
        with self._store.read() as conn:
            row = _find_user(conn, user)
        if not self._hasher.matches(password, row.password_hash if row else None) or row is None:
            raise Fault(401, _REFUSED)
        return Proof(row.id, ["password"])

    def _by_token(self, given: dict[str, Any]) -> Proof:
        with self._store.read() as conn:
            found = tokens.find(conn, member(given, "id", str)[:255], self._clock.now())
        if found is None or found.application_credential:
            raise Fault(401, _REFUSED)
        methods = list(dict.fromkeys([*found.methods, "token"]))
        return Proof(found.user["id"], methods, found.expires_at, found.audit_ids[-1])

    def _by_credential(self, given: dict[str, Any]) -> Proof:
        c = tables.application_credentials.c
        secret = _password(given.get("secret"))
        with self._store.read() as conn:
            if "id" in given:
                wanted = c.id == member(given, "id", str)
            else:
                user = _find_user(conn, member(given, "user", dict))
                wanted = (c.user_id == (user.id if user else "")) & (
                    c.name == member(given, "name", str)
                )
            row = conn.execute(select(tables.application_credentials).where(wanted)).one_or_none()
        now = tokens.stamp(self._clock.now())
        alive = row is not None and (row.expires_at is None or row.expires_at > now)
        if not self._hasher.matches(secret, row.secret_hash if row and alive else None):
            raise Fault(401, _REFUSED)
        assert row is not None
        return Proof(
            row.user_id,
            ["application_credential"],
            credential_id=row.id,
            scope=Scope("project", row.project_id),
            role_ids=row.role_ids,
        )

    def _check_scope(self, conn: Connection, proof: Proof, scope: Scope) -> None:
        u, d = tables.users.c, tables.domains.c
        alive = conn.scalar(
            select(u.id)
            .join_from(tables.users, tables.domains, u.domain_id == d.id)
            .where(u.id == proof.user_id, u.enabled, d.enabled)
        )
        if alive is None:
            raise Fault(401, _REFUSED)
        if scope.kind is None or scope.id is None:
            return
        held = roles.effective(conn, proof.user_id, scope.kind, scope.id, proof.role_ids)
        if not held or tokens.find_target(conn, scope) is None:
            raise Fault(401, _REFUSED)


def member(of: dict[str, Any], name: str, kind: type) -> Any:
    """The member `name`, of type `kind`. Raises Fault 400."""
    value = of.get(name)
    if not isinstance(value, kind):
        raise Fault(400, f"Expecting to find {name} in the request, of type {kind.__name__}.")
    return value


def _password(given: Any) -> str:
    if not isinstance(given, str):
        raise Fault(400, "Expecting to find a password or secret in the request, of type str.")
    if len(given) > _LONGEST_PASSWORD:
        raise Fault(401, _REFUSED)
    return given


def _find_user(conn: Connection, given: dict[str, Any]) -> Any:
    u = tables.users.c
    columns = select(u.id, u.password_hash)
    if "id" in given:
        return conn.execute(columns.where(u.id == member(given, "id", str))).one_or_none()
    domain = _domain_id(conn, member(given, "domain", dict))
    name = member(given, "name", str)
    return conn.execute(columns.where(u.name == name, u.domain_id == domain)).one_or_none()


def _domain_id(conn: Connection, given: dict[str, Any]) -> str | None:
    d = tables.domains.c
    if "id" in given:
        return str(member(given, "id", str))
    return conn.scalar(select(d.id).where(d.name == member(given, "name", str)))


def _wanted_scope(conn: Connection, given: Any, user_id: str) -> Scope:
    if given is None:
        return _default_scope(conn, user_id)
    if given == "unscoped" or (isinstance(given, dict) and "unscoped" in given):
        return Scope()
    if not isinstance(given, dict):
        raise Fault(400, "scope must be an object.")
    if "system" in given:
        if member(given, "system", dict).get("all") is not True:
            raise Fault(400, "The system scope is {'all': true}.")
        return Scope("system", roles.SYSTEM)
    if "domain" in given:
        return Scope("domain", _domain_id(conn, member(given, "domain", dict)) or "")
    project = member(given, "project", dict)
    if "id" in project:
        return Scope("project", member(project, "id", str))
    domain = _domain_id(conn, member(project, "domain", dict))
    p = tables.projects.c
    name = member(project, "name", str)
    found = conn.scalar(select(p.id).where(p.name == name, p.domain_id == domain))
    return Scope("project", found or "")


def _default_scope(conn: Connection, user_id: str) -> Scope:
    u = tables.users.c
    project_id = conn.scalar(select(u.default_project_id).where(u.id == user_id))
    scope = Scope("project", project_id)
    if project_id is None or tokens.find_target(conn, scope) is None:
        return Scope()
    return scope if roles.effective(conn, user_id, "project", project_id) else Scope()

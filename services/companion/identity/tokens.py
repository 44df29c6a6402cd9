# SPDX-License-Identifier: Apache-2.0
"""Tokens: random, stored as digests, and worth only what their user may do at this moment.

A token row says who and on what; roles, names and the enabled flags are read anew each time, so a
role taken away or a user disabled counts at once.
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from services.companion.identity import catalog, roles
from services.companion.store import tables

# Long operations of services validate a user's token after its end, within this time.
EXPIRED_GRACE_S = 48 * 3600


@dataclass(frozen=True)
class Scope:
    """What a token is for: kind `project`, `domain`, `system` or None (unscoped)."""

    kind: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Token:
    """A token that is worth something now."""

    digest: str
    user: dict[str, Any]
    scope: Scope
    target: dict[str, Any] | None
    roles: list[dict[str, str]]
    methods: list[str]
    audit_ids: list[str]
    issued_at: str
    expires_at: str
    application_credential: dict[str, Any] | None

    @property
    def role_names(self) -> frozenset[str]:
        """Names of the roles, implied ones too."""
        return frozenset(role["name"] for role in self.roles)


def digest(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def stamp(moment: datetime) -> str:
    """A time as the Identity API shows it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_token() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def insert_token(
    conn: Connection,
    token: str,
    *,
    user_id: str,
    scope: Scope,
    methods: Sequence[str],
    now: datetime,
    expires_at: str,
    parent_audit_id: str | None = None,
    application_credential_id: str | None = None,
) -> None:
    """Store a new token, and forget those that nobody may ask about any more."""
    conn.execute(
        delete(tables.tokens).where(
            tables.tokens.c.expires_at < stamp(now - timedelta(seconds=EXPIRED_GRACE_S))
        )
    )
    audit_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    conn.execute(
        insert(tables.tokens).values(
            digest=digest(token),
            user_id=user_id,
            target_kind=scope.kind,
            target_id=scope.id,
            methods=list(methods),
            audit_ids=[audit_id, *([parent_audit_id] if parent_audit_id else [])],
            application_credential_id=application_credential_id,
            issued_at=stamp(now),
            expires_at=expires_at,
        )
    )


def find(conn: Connection, token: str, now: datetime, *, expired: bool = False) -> Token | None:
    """The token, when it is worth something. `expired`: also for a while after its end."""
    t, u, d = tables.tokens.c, tables.users.c, tables.domains.c
    oldest = now - timedelta(seconds=EXPIRED_GRACE_S if expired else 0)
    row = conn.execute(
        select(tables.tokens, u.name, u.domain_id, d.name.label("domain_name"))
        .join_from(tables.tokens, tables.users, t.user_id == u.id)
        .join(tables.domains, u.domain_id == d.id)
        .where(t.digest == digest(token), t.expires_at > stamp(oldest), u.enabled, d.enabled)
    ).one_or_none()
    if row is None:
        return None
    scope = Scope(row.target_kind, row.target_id)
    credential = _credential(conn, row.application_credential_id, now)
    if row.application_credential_id and credential is None:
        return None
    held: list[dict[str, str]] = []
    target = None
    if scope.kind is not None and scope.id is not None:
        target = find_target(conn, scope)
        among = credential["role_ids"] if credential else None
        held = roles.effective(conn, row.user_id, scope.kind, scope.id, among)
        if target is None or not held:
            return None
    return Token(
        digest=row.digest,
        user={
            "id": row.user_id,
            "name": row.name,
            "domain": {"id": row.domain_id, "name": row.domain_name},
            "password_expires_at": None,
        },
        scope=scope,
        target=target,
        roles=held,
        methods=row.methods,
        audit_ids=row.audit_ids,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        application_credential=credential,
    )


def find_target(conn: Connection, scope: Scope) -> dict[str, Any] | None:
    """What a scope stands for, as a token shows it; None when missing or disabled."""
    p, d = tables.projects.c, tables.domains.c
    if scope.kind == "system":
        return {"all": True}
    if scope.kind == "domain":
        domain = conn.execute(select(d.id, d.name).where(d.id == scope.id, d.enabled)).one_or_none()
        return None if domain is None else {"id": domain.id, "name": domain.name}
    row = conn.execute(
        select(p.id, p.name, p.domain_id, d.name.label("domain_name"))
        .join_from(tables.projects, tables.domains, p.domain_id == d.id)
        .where(p.id == scope.id, p.enabled, d.enabled)
    ).one_or_none()
    if row is None:
        return None
    own_domain = {"id": row.domain_id, "name": row.domain_name}
    return {"id": row.id, "name": row.name, "domain": own_domain}


def _credential(
    conn: Connection, credential_id: str | None, now: datetime
) -> dict[str, Any] | None:
    if credential_id is None:
        return None
    c = tables.application_credentials.c
    row = conn.execute(
        select(c.id, c.name, c.unrestricted, c.role_ids, c.expires_at).where(c.id == credential_id)
    ).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= stamp(now)):
        return None
    return {
        "id": row.id,
        "name": row.name,
        "restricted": not row.unrestricted,
        "role_ids": row.role_ids,
    }


def body(conn: Connection, token: Token, *, with_catalog: bool = True) -> dict[str, Any]:
    """The token as the Identity API shows it."""
    shown: dict[str, Any] = {
        "methods": token.methods,
        "user": token.user,
        "audit_ids": token.audit_ids,
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
    }
    if token.scope.kind is not None:
        shown[token.scope.kind] = token.target
        shown["roles"] = token.roles
        if token.scope.kind == "project":
            shown["is_domain"] = False
        if with_catalog:
            project_id = token.scope.id if token.scope.kind == "project" else None
            shown["catalog"] = catalog.catalog(conn, project_id)
    if token.application_credential:
        known = token.application_credential
        shown["application_credential"] = {k: known[k] for k in ("id", "name", "restricted")}
    return {"token": shown}

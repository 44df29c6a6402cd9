# SPDX-License-Identifier: Apache-2.0
"""What an empty companion begins with. Run again, it restores that and keeps everything else.

Users that exist keep their ids; their passwords, and the URLs of endpoints, become what the
configuration says.
"""

import uuid
from typing import Any

from sqlalchemy import Table, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection

from services.companion.identity.passwords import Hasher
from services.companion.identity.roles import SEEDED, SYSTEM
from services.companion.settings import Bootstrap
from services.companion.store import tables
from services.companion.store.engine import Store

DOMAIN = "default"
_INTERFACES = ("public", "internal", "admin")
# Tempest 47 looks for `type` literally; these are its defaults.
_NAMES = {
    "identity": "companion-identity",
    "image": "companion-image",
    "network": "companion-network",
    "volumev3": "cinderv3",
    "shared-file-system": "companion-share",
    "compute": "kilonova",
}
# user, role, kind of target, target
_GRANTS = (
    ("admin", "admin", "project", "admin"),
    ("admin", "admin", "project", "demo"),
    ("admin", "admin", "domain", DOMAIN),
    ("admin", "admin", "system", SYSTEM),
    ("kilonova", "admin", "project", "service"),
    ("kilonova", "service", "project", "service"),
    ("demo", "member", "project", "demo"),
)


def bootstrap(store: Store, wanted: Bootstrap, hasher: Hasher) -> None:
    """Make sure of the domain, roles, projects, users, grants and the catalogue."""
    passwords = {
        "admin": wanted.passwords.admin,
        "kilonova": wanted.passwords.service,
        "demo": wanted.passwords.demo,
    }
    stale = _stale_passwords(store, passwords, hasher)
    hashes = {name: hasher.hash(passwords[name]) for name in stale}
    with store.write() as conn:
        conn.execute(
            upsert(tables.domains)
            .values(id=DOMAIN, name="Default", description="The default domain")
            .on_conflict_do_update(index_elements=["id"], set_={"enabled": True})
        )
        roles = {name: _ensure(conn, tables.roles, name, domain_id=None) for name in SEEDED}
        projects = {
            name: _ensure(conn, tables.projects, name, domain_id=DOMAIN, parent_id=DOMAIN)
            for name in ("admin", "service", "demo")
        }
        users = {name: _ensure(conn, tables.users, name, domain_id=DOMAIN) for name in passwords}
        for name, hashed in hashes.items():
            _set_password(conn, users[name], hashed)
        for user, role, kind, target in _GRANTS:
            target_id = projects[target] if kind == "project" else target
            _grant(conn, users[user], roles[role], kind, target_id)
        conn.execute(upsert(tables.regions).values(id=wanted.region).on_conflict_do_nothing())
        for service_type, url in wanted.endpoints.items():
            _ensure_endpoints(conn, service_type, url, wanted.region)


def _stale_passwords(store: Store, passwords: dict[str, str], hasher: Hasher) -> list[str]:
    """Names of the users whose password is not the wanted one."""
    u = tables.users.c
    with store.read() as conn:
        rows = conn.execute(select(u.name, u.password_hash).where(u.domain_id == DOMAIN)).all()
    known = {row.name: row.password_hash for row in rows}
    return [n for n, wanted in passwords.items() if not hasher.matches(wanted, known.get(n))]


def _ensure(conn: Connection, table: Table, name: str, **values: Any) -> str:
    """The id of the row of this name, made when missing and enabled when not."""
    found = conn.scalar(
        select(table.c.id).where(table.c.name == name, table.c.domain_id.is_(values["domain_id"]))
    )
    if found is None:
        found = uuid.uuid4().hex
        conn.execute(insert(table).values(id=found, name=name, **values))
    elif "enabled" in table.c:
        conn.execute(update(table).where(table.c.id == found).values(enabled=True))
    return str(found)


def _set_password(conn: Connection, user_id: str, hashed: str) -> None:
    conn.execute(
        update(tables.users).where(tables.users.c.id == user_id).values(password_hash=hashed)
    )
    conn.execute(delete(tables.tokens).where(tables.tokens.c.user_id == user_id))


def _grant(conn: Connection, user_id: str, role_id: str, kind: str, target_id: str) -> None:
    conn.execute(
        upsert(tables.grants)
        .values(user_id=user_id, role_id=role_id, target_kind=kind, target_id=target_id)
        .on_conflict_do_nothing()
    )


def _ensure_endpoints(conn: Connection, service_type: str, url: str, region: str) -> None:
    s, e = tables.services.c, tables.endpoints.c
    service_id = conn.scalar(select(s.id).where(s.type == service_type).limit(1))
    if service_id is None:
        service_id = uuid.uuid4().hex
        conn.execute(
            insert(tables.services).values(
                id=service_id, type=service_type, name=_NAMES.get(service_type, service_type)
            )
        )
    for interface in _INTERFACES:
        ours = (e.service_id == service_id) & (e.interface == interface) & (e.region_id == region)
        known = conn.scalars(select(e.id).where(ours)).all()
        if known:
            conn.execute(update(tables.endpoints).where(ours).values(url=url, enabled=True))
        else:
            conn.execute(
                insert(tables.endpoints).values(
                    id=uuid.uuid4().hex,
                    service_id=service_id,
                    interface=interface,
                    region_id=region,
                    url=url,
                )
            )

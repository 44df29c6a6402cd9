# SPDX-License-Identifier: Apache-2.0
"""Who holds which role on what; a stronger role brings the weaker ones."""

from collections.abc import Iterable

from sqlalchemy import or_, select
from sqlalchemy.engine import Connection

from services.companion.store import tables

SYSTEM = "all"
ADMIN, SERVICE = "admin", "service"
SEEDED = ("admin", "manager", "member", "reader", "service")
_LADDER = ("admin", "manager", "member", "reader")


def implied_by(names: Iterable[str]) -> frozenset[str]:
    """`names` with the roles that they bring along."""
    held = set(names)
    for place, name in enumerate(_LADDER):
        if name in held:
            held.update(_LADDER[place:])
            break
    return frozenset(held)


def effective(
    conn: Connection, user_id: str, kind: str, target_id: str, among: Iterable[str] | None = None
) -> list[dict[str, str]]:
    """The user's roles on a target as `{id, name}`, implied ones too; empty: none at all.

    `among`: role ids that an application credential is limited to.
    """
    g, r = tables.grants.c, tables.roles.c
    granted = set(
        conn.scalars(
            select(g.role_id).where(
                g.user_id == user_id, g.target_kind == kind, g.target_id == target_id
            )
        )
    )
    if among is not None:
        granted = with_implied(conn, granted) & set(among)
    if not granted:
        return []
    ids = with_implied(conn, granted)
    rows = conn.execute(select(r.id, r.name).where(r.id.in_(ids)).order_by(r.name))
    return [{"id": row.id, "name": row.name} for row in rows]


def with_implied(conn: Connection, role_ids: Iterable[str]) -> set[str]:
    """`role_ids` with the ids of the roles that they bring along."""
    r = tables.roles.c
    held = set(role_ids)
    rows = conn.execute(
        select(r.id, r.name).where(
            or_(r.id.in_(held), (r.name.in_(_LADDER)) & (r.domain_id.is_(None)))
        )
    ).all()
    names = implied_by(row.name for row in rows if row.id in held)
    return held | {row.id for row in rows if row.name in names}

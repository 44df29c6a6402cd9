# SPDX-License-Identifier: Apache-2.0
"""Shares, access rules and locks in the store: who may see and change them."""

from typing import Any

from sqlalchemy import ColumnElement, Table, func, or_, select, true, update
from sqlalchemy.engine import Connection

from common.clock import Clock, iso_microseconds
from services.companion.share.call import ShareCall
from services.companion.store import tables
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

Row = dict[str, Any]

CREATING, AVAILABLE, ERROR = "creating", "available", "error"
DELETING, ERROR_DELETING = "deleting", "error_deleting"
TO_APPLY, ACTIVE, TO_DENY = "queued_to_apply", "active", "queued_to_deny"

_s = tables.shares.c
_r = tables.share_access_rules.c


def stamp(clock: Clock) -> str:
    """The present time as the Shared File Systems API shows it."""
    return iso_microseconds(clock.now())


def visible(call: ShareCall, *, with_public: bool = True) -> ColumnElement[bool]:
    """Shares that the caller may see."""
    if call.sees_everything:
        return true()
    own = _s.project_id == (call.caller.project_id or "")
    return or_(own, _s.is_public) if with_public else own


def find(conn: Connection, call: ShareCall, share_id: str) -> Row:
    """One share. Raises Fault 404 also for those that the caller may not see."""
    row = _one(conn, tables.shares, _s.id == share_id, visible(call))
    if row is None:
        raise Fault(404, f"Share {shown(share_id)} could not be found.")
    return row


def find_own(conn: Connection, call: ShareCall, share_id: str) -> Row:
    """One share that the caller may change. Raises Fault 403 or 404."""
    share = find(conn, call, share_id)
    call.caller.must_write()
    if not call.owns(share):
        raise Fault(403, "Policy doesn't allow this to be performed.")
    return share


def find_rule(conn: Connection, call: ShareCall, rule_id: str) -> Row:
    """One access rule of a share that is not only seen because it is public. Raises Fault 404."""
    own = select(_s.id).where(visible(call, with_public=False))
    row = _one(conn, tables.share_access_rules, _r.id == rule_id, _r.share_id.in_(own))
    if row is None:
        raise Fault(404, f"Access rule {shown(rule_id)} could not be found.")
    return row


def set_status(conn: Connection, clock: Clock, share_id: str, status: str) -> None:
    """Set a share's status."""
    values = {"status": status, "updated_at": stamp(clock)}
    conn.execute(update(tables.shares).where(_s.id == share_id).values(values))


def count(conn: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    """How many rows meet the conditions."""
    return int(conn.scalar(select(func.count()).select_from(table).where(*conditions)) or 0)


def _one(conn: Connection, table: Table, *conditions: ColumnElement[bool]) -> Row | None:
    row = conn.execute(select(table).where(*conditions)).mappings().one_or_none()
    return None if row is None else dict(row)

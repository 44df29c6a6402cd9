# SPDX-License-Identifier: Apache-2.0
"""`/v2/resource-locks` (2.81): what keeps shares and access rules from being deleted or shown.

A lock belongs to the project of the share, whose users see it; those change it who made it, or
whose role is above its context: administrators every lock, services those of services.
"""

from typing import Any

import falcon
from sqlalchemy import delete, insert, select, true, update
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.ids import new_uuid
from services.companion.share import listing, records
from services.companion.share.call import ShareCall, call_of
from services.companion.share.parts import Parts
from services.companion.share.records import Row, stamp
from services.companion.store import tables
from services.companion.web import fields
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, one_of, shown, text

SHARE, RULE = "share", "access_rule"
_VERSION = 81
_l = tables.share_locks.c
_CHANGES = (
    Field("resource_action", one_of("delete", "show")),
    Field("lock_reason", nullable(text(1023))),
)
_CREATE = (
    *_CHANGES,
    Field("resource_id", text(255), required=True),
    Field("resource_type", one_of(SHARE, RULE), default=SHARE),
)
_FILTERS = (
    "id", "resource_id", "resource_type", "resource_action", "user_id", "project_id",
    "lock_context", "lock_reason",
)  # fmt: skip


def ids(conn: Connection, resource_id: str, action: str) -> list[str]:
    """Locks of a share or rule against an action."""
    return [lock["id"] for lock in _held(conn, resource_id, action)]


def may_see(conn: Connection, call: ShareCall, rule: Row) -> bool:
    """Whether an access rule is not locked against being seen by the caller."""
    return all(_may_change(call, lock) for lock in _held(conn, rule["id"], "show"))


def add(conn: Connection, call: ShareCall, clock: Clock, share: Row, **what: Any) -> Row:
    """Lock a share, or a rule of it; `what` is resource_id, _type, _action and lock_reason."""
    row = {
        "id": new_uuid(), "share_id": share["id"], "project_id": share["project_id"],
        "user_id": call.caller.user_id, "lock_context": call.context,
        "created_at": stamp(clock), "updated_at": None, **what,
    }  # fmt: skip
    conn.execute(insert(tables.share_locks).values(row))
    return row


def release_all(conn: Connection, call: ShareCall, resource_id: str) -> None:
    """Take every lock away. Raises Fault 403 when the caller may not."""
    for action in ("delete", "show"):
        for lock in _held(conn, resource_id, action):
            _must_change(call, lock)
    conn.execute(delete(tables.share_locks).where(_l.resource_id == resource_id))


class Locks:
    """Locks, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of the project's, or of everybody's."""
        call, given = _call(req), listing.asked(req)
        everybody = call.sees_everything and listing.is_set(given, "all_projects")
        scope = true() if everybody else _l.project_id == (call.caller.project_id or "")
        with self._parts.store.read() as conn:
            rows, total = listing.page(conn, tables.share_locks, given, scope, _FILTERS)
        body: Row = {"resource_locks": [_show(row) for row in rows]}
        if listing.is_set(given, "with_count"):
            body["count"] = total
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Lock something."""
        call = _call(req)
        given = fields.on_create(_CREATE, read_object(req, "resource_lock"))
        what = {"resource_action": "delete", "lock_reason": None, **given}
        if what["resource_type"] == SHARE and what["resource_action"] == "show":
            raise Fault(400, "The action 'show' is not locked for shares.")
        with self._parts.store.write() as conn:
            share_id = what["resource_id"]
            if what["resource_type"] == RULE:
                share_id = records.find_rule(conn, call, share_id)["share_id"]
            share = records.find_own(conn, call, share_id)
            if share["status"] == records.DELETING:
                raise Fault(409, f"Share {share_id} is being deleted.")
            lock = add(conn, call, self._parts.clock, share, **what)
        answer(resp, {"resource_lock": _show(lock)})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """One lock."""
        call = _call(req)
        with self._parts.store.read() as conn:
            answer(resp, {"resource_lock": _show(_find(conn, call, lock_id))})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Another reason or action."""
        call = _call(req)
        values = fields.on_update(_CHANGES, read_object(req, "resource_lock"))
        values["updated_at"] = stamp(self._parts.clock)
        with self._parts.store.write() as conn:
            lock = _find(conn, call, lock_id)
            _must_change(call, lock)
            if lock["resource_type"] == SHARE and values.get("resource_action") == "show":
                raise Fault(400, "The action 'show' is not locked for shares.")
            conn.execute(update(tables.share_locks).where(_l.id == lock_id).values(values))
        answer(resp, {"resource_lock": _show({**lock, **values})})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, lock_id: str) -> None:
        """Unlock."""
        call = _call(req)
        with self._parts.store.write() as conn:
            _must_change(call, _find(conn, call, lock_id))
            conn.execute(delete(tables.share_locks).where(_l.id == lock_id))
        resp.status = 204


def _call(req: falcon.Request) -> ShareCall:
    call = call_of(req)
    call.needs(_VERSION)
    return call


def _find(conn: Connection, call: ShareCall, lock_id: str) -> Row:
    row = conn.execute(select(tables.share_locks).where(_l.id == lock_id)).mappings().one_or_none()
    if row is None or not (call.sees_everything or call.owns(dict(row))):
        raise Fault(404, f"Resource lock {shown(lock_id)} could not be found.")
    return dict(row)


def _held(conn: Connection, resource_id: str, action: str) -> list[Row]:
    wanted = select(tables.share_locks).where(
        _l.resource_id == resource_id, _l.resource_action == action
    )
    return [dict(row) for row in conn.execute(wanted.order_by(_l.id)).mappings()]


def _may_change(call: ShareCall, lock: Row) -> bool:
    if call.caller.is_admin or lock["user_id"] == call.caller.user_id:
        return True
    return bool(call.context == lock["lock_context"] == "service")


def _must_change(call: ShareCall, lock: Row) -> None:
    call.caller.must_write()
    if not _may_change(call, lock):
        raise Fault(403, f"Resource lock {lock['id']} is somebody else's.")


def _show(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "share_id"}

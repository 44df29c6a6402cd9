# SPDX-License-Identifier: Apache-2.0
"""`/v2/shares`, and from where they are mounted."""

from typing import Any

import falcon
from sqlalchemy import false, insert, update
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.share import listing, locks, records
from services.companion.share.call import ShareCall, call_of
from services.companion.share.documents import TYPE_ID, TYPE_NAME
from services.companion.share.parts import Parts
from services.companion.share.records import Row, stamp
from services.companion.store import tables
from services.companion.volume.bodies import DESCRIPTION, NAME, gib, metadata, truth
from services.companion.web import fields
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import BadValue, Field, nullable, shown

_s = tables.shares.c
_FILTERS = ("id", "name", "description", "status", "share_proto", "project_id", "user_id")


def _protocol(value: Any) -> str:
    if not isinstance(value, str) or value.upper() != "NFS":
        raise BadValue(f"{shown(value)} is not NFS, the one protocol there is.")
    return "NFS"


def _type(value: Any) -> str:
    if value not in (TYPE_ID, TYPE_NAME):
        raise BadValue(f"Share type {shown(value)} could not be found.")
    return TYPE_ID


def _absent(value: Any) -> None:
    if value is not None:
        raise BadValue("there are none here.")


_CHANGES = (
    Field("name", NAME),
    Field("display_name", NAME),
    Field("description", DESCRIPTION),
    Field("display_description", DESCRIPTION),
    Field("is_public", truth, default=False),
)
_CREATE = (
    *_CHANGES,
    Field("share_proto", _protocol, required=True),
    Field("size", gib, required=True),
    Field("share_type", nullable(_type)),
    Field("metadata", nullable(metadata)),
    Field("snapshot_id", _absent),
    Field("share_network_id", _absent),
    Field("share_group_id", _absent),
)


class Shares:
    """Shares, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them: ids and names."""
        self._list(req, resp, _summary)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them, in full."""
        self._list(req, resp, _detail)

    def _list(self, req: falcon.Request, resp: falcon.Response, view: Any) -> None:
        call, given = call_of(req), listing.asked(req)
        scope = _s.project_id == (call.caller.project_id or "")
        if call.sees_everything and listing.is_set(given, "all_tenants"):
            scope = _s.id.is_not(None)
        elif listing.is_set(given, "is_public"):
            scope |= _s.is_public
        if listing.is_set(given, "is_soft_deleted"):
            scope = false()  # deleted shares are gone; clients ask for them by every name
        with self._parts.store.read() as conn:
            rows, total = listing.page(conn, tables.shares, given, scope, _FILTERS)
        body: Row = {"shares": [view(call, row) for row in rows]}
        if listing.is_set(given, "with_count"):
            body["count"] = total
        answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new share, made behind the request."""
        call, parts = call_of(req), self._parts
        call.caller.must_write()
        given = fields.on_create(_CREATE, read_object(req, "share"))
        row: Row = {
            "id": new_uuid(), "project_id": call.caller.own_project,
            "user_id": call.caller.user_id, "name": _either(given, "name"),
            "description": _either(given, "description"), "size": given["size"],
            "share_proto": given["share_proto"], "status": records.CREATING,
            "is_public": given["is_public"], "metadata": given.get("metadata") or {},
            "created_at": stamp(parts.clock), "updated_at": None,
        }  # fmt: skip
        with parts.store.write() as conn:
            self._must_have_room(conn, row["project_id"])
            conn.execute(insert(tables.shares).values(row))
            parts.jobs.add(conn, "create-share", row["id"])
        parts.jobs.wake()
        answer(resp, {"share": _detail(call, row)})

    def _must_have_room(self, conn: Connection, project_id: str) -> None:
        most = self._parts.most_shares
        if 0 <= most <= records.count(conn, tables.shares, _s.project_id == project_id):
            raise Fault(413, f"Maximum number of shares allowed ({most}) exceeded.")

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, share_id: str) -> None:
        """One share."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            share = records.find(conn, call, share_id)
        answer(resp, {"share": _detail(call, share)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, share_id: str) -> None:
        """Another name or description, or public or not."""
        call = call_of(req)
        given = fields.on_update(_CHANGES, read_object(req, "share"))
        values = {n: _either(given, n) for n in ("name", "description")
                  if n in given or f"display_{n}" in given}  # fmt: skip
        if "is_public" in given:
            values["is_public"] = given["is_public"]
        values["updated_at"] = stamp(self._parts.clock)
        with self._parts.store.write() as conn:
            share = records.find_own(conn, call, share_id)
            conn.execute(update(tables.shares).where(_s.id == share["id"]).values(values))
        answer(resp, {"share": _detail(call, {**share, **values})})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, share_id: str) -> None:
        """Delete it with all that is in it, behind the request, unless it is locked."""
        call, parts = call_of(req), self._parts
        with parts.store.write() as conn:
            share = records.find_own(conn, call, share_id)
            allowed = (records.AVAILABLE, records.ERROR, records.ERROR_DELETING)
            if share["status"] not in allowed:
                raise Fault(403, f"Share status must be one of {', '.join(allowed)}.")
            held = locks.ids(conn, share_id, "delete")
            if held:
                raise Fault(409, f"Resource lock/s [{', '.join(held)}] prevent delete action.")
            records.set_status(conn, parts.clock, share_id, records.DELETING)
            parts.jobs.add(conn, "delete-share", share_id)
        parts.jobs.wake()
        resp.status = 202


class ExportLocations:
    """`/v2/shares/{share_id}/export_locations`. A share has one, under its own id."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, share_id: str) -> None:
        """None before the share is there."""
        answer(resp, {"export_locations": self._of(call_of(req), share_id)})

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, share_id: str, location_id: str
    ) -> None:
        """One of them."""
        found = self._of(call_of(req), share_id)
        if not found or location_id != share_id:
            raise Fault(404, f"Export location {shown(location_id)} could not be found.")
        answer(resp, {"export_location": found[0]})

    def _of(self, call: ShareCall, share_id: str) -> list[Row]:
        with self._parts.store.read() as conn:
            share = records.find(conn, call, share_id)
        if share["status"] != records.AVAILABLE:
            return []
        location: Row = {
            "id": share_id, "path": self._parts.exports.path(share_id),
            "created_at": share["created_at"], "updated_at": share["updated_at"],
        }  # fmt: skip
        if call.at_least(14):
            location["preferred"] = True
        if call.sees_everything:
            location |= {"share_instance_id": share_id, "is_admin_only": False}
        return [location]


def _summary(call: ShareCall, share: Row) -> Row:
    path = f"{call.base_url}/share/v2/shares/{share['id']}"
    links = [{"rel": "self", "href": path}, {"rel": "bookmark", "href": path}]
    return {"id": share["id"], "name": share["name"], "links": links}


def _detail(call: ShareCall, share: Row) -> Row:
    """All that clients look for, at whatever version: nobody minds a field too many."""
    return {
        **share,
        **_summary(call, share),
        "share_type": TYPE_ID, "share_type_name": TYPE_NAME, "availability_zone": "nova",
        "host": None, "share_server_id": None, "share_network_id": None, "snapshot_id": None,
        "share_group_id": None, "task_state": None, "has_replicas": False,
        "replication_type": None, "progress": None, "snapshot_support": False,
        "create_share_from_snapshot_support": False, "revert_to_snapshot_support": False,
        "mount_snapshot_support": False,
    }  # fmt: skip


def _either(values: Row, name: str) -> Any:
    own = values.get(name)
    return own if own is not None else values.get(f"display_{name}")

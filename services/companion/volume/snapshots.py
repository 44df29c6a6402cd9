# SPDX-License-Identifier: Apache-2.0
"""`/v3/snapshots`: volumes as they were at one moment."""

from typing import Any

import falcon
from sqlalchemy import false, insert, select, true
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.store import tables
from services.companion.volume import deletion, listing, quota, records, views
from services.companion.volume.attaching import file_name
from services.companion.volume.bodies import DESCRIPTION, NAME, metadata, truth
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.listing import Listed, equals, moment, number, pairs
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row, stamp
from services.companion.web import fields
from services.companion.web.body import answer, read_json, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, text

_s = tables.volume_snapshots.c
_CREATE = (
    Field("volume_id", nullable(text(255)), required=True),
    Field("name", NAME),
    Field("display_name", NAME),
    Field("description", DESCRIPTION),
    Field("display_description", DESCRIPTION),
    Field("force", nullable(truth)),
    Field("metadata", nullable(metadata)),
)
_CHANGES = tuple(f for f in _CREATE if f.name not in ("volume_id", "force", "metadata"))
_STATUSES = (
    records.CREATING, records.AVAILABLE, records.DELETING, records.ERROR, records.ERROR_DELETING,
    "unmanaging", "backing-up", "restoring",
)  # fmt: skip
_LISTED = Listed(
    table=tables.volume_snapshots,
    plural="snapshots",
    title="Snapshot",
    sort_keys={
        **{n: n for n in ("id", "name", "status", "size", "created_at", "volume_id",
                          "description")},
        "display_name": "name", "volume_size": "size",
    },
    filters={
        **{n: equals(_s[n]) for n in ("id", "name", "status", "volume_id", "user_id")},
        "display_name": equals(_s.name), "size": number(_s.size), "volume_size": number(_s.size),
        "metadata": pairs(tables.volume_snapshots, "metadata"),
        "created_at": moment(_s.created_at), "updated_at": moment(_s.updated_at),
        "consumes_quota": lambda _, v: true() if listing.boolean(v, "consumes_quota") else false(),
        # The zone of its volume: there is one.
        "availability_zone": lambda _, v: true() if v == "nova" else false(),
    },
)  # fmt: skip


class Snapshots:
    """Snapshots, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them."""
        self._list(req, resp, views.snapshot_summary)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A page of them, in full."""
        self._list(req, resp, views.snapshot_detail)

    def _list(self, req: falcon.Request, resp: falcon.Response, view: Any) -> None:
        call = call_of(req)
        with self._parts.store.read() as conn:
            page = listing.page(conn, call, req, _LISTED)
            found = conn.execute(select(tables.volume_snapshots).where(_s.id.in_(page.ids)))
            rows = {row["id"]: dict(row) for row in found.mappings()}
        answer(resp, {"snapshots": [view(call, rows[i]) for i in page.ids], **page.extras})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A new snapshot, copied behind the request."""
        call = call_of(req)
        call.must_write()
        values = fields.on_create(_CREATE, read_object(req, "snapshot"))
        with self._parts.store.write() as conn:
            volume = records.find(conn, call, str(values["volume_id"]))
            _must_allow(call, volume, values.get("force"))
            snapshot = self._create(conn, call, volume, values)
        self._parts.jobs.wake()
        answer(resp, {"snapshot": views.snapshot_summary(call, snapshot)}, 202)

    def _create(self, conn: Connection, call: VolumeCall, volume: Row, values: Row) -> Row:
        parts = self._parts
        wanted = {"snapshots": 1, "gigabytes": volume["size"]}
        quota.check(conn, volume["project_id"], volume["type_name"], wanted, parts.quota)
        row: Row = {
            "id": new_uuid(), "project_id": volume["project_id"], "user_id": call.caller.user_id,
            "name": _either(values, "name"), "description": _either(values, "description"),
            "volume_id": volume["id"], "size": volume["size"], "status": records.CREATING,
            "progress": "0%", "bootable": volume["bootable"],
            "metadata": values.get("metadata") or {}, "image_metadata": volume["image_metadata"],
            "created_at": stamp(parts.clock), "updated_at": None,
        }  # fmt: skip
        conn.execute(insert(tables.volume_snapshots).values(row))
        parts.jobs.add(
            conn, "create-snapshot", row["id"], source=volume["id"], request_id=call.request_id,
            copy_of=file_name(volume),
        )  # fmt: skip
        return row

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One snapshot."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            snapshot = records.find_snapshot(conn, call, item_id)
        answer(resp, {"snapshot": views.snapshot_detail(call, snapshot)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Another name or description."""
        call = call_of(req)
        call.must_write()
        given = read_object(req, "snapshot")
        values = fields.on_update(_CHANGES, given)
        if not values:
            raise Fault(400, "At least one attribute must be given.")
        changes = {n: _either(values, n) for n in ("name", "description")
                   if n in values or f"display_{n}" in values}  # fmt: skip
        with self._parts.store.write() as conn:
            snapshot = records.find_snapshot(conn, call, item_id)
            snapshot = records.change_snapshot(conn, snapshot, self._parts.clock, **changes)
        answer(resp, {"snapshot": views.snapshot_summary(call, snapshot)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Delete it; its data goes behind the request."""
        self._delete(call_of(req), item_id, force=False)
        resp.status = 202

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Set its status, or delete it whatever that is."""
        call = call_of(req)
        body = read_json(req)
        given = body if isinstance(body, dict) else {}
        if "os-force_delete" in given:
            call.must_be_admin()
            self._delete(call, item_id, force=True)
        elif "os-reset_status" in given:
            call.must_be_admin()
            self._set_status(call, item_id, _inner(given, "os-reset_status"))
        elif "os-update_snapshot_status" in given:
            # How the part of a snapshot went that somebody else takes.
            call.must_write()
            self._set_status(call, item_id, _inner(given, "os-update_snapshot_status"))
        else:
            raise Fault(400, "There is no such action")
        resp.status = 202

    def _delete(self, call: VolumeCall, item_id: str, *, force: bool) -> None:
        call.must_write()
        with self._parts.store.write() as conn:
            snapshot = records.find_snapshot(conn, call, item_id)
            deletion.delete_snapshot(conn, call, self._parts, snapshot, force=force)
        self._parts.jobs.wake()

    def _set_status(self, call: VolumeCall, item_id: str, given: Row) -> None:
        if given.get("status") not in _STATUSES:
            raise Fault(400, f"The status of a snapshot is one of {', '.join(_STATUSES)}.")
        values = {"status": given["status"]}
        if isinstance(given.get("progress"), str):
            values["progress"] = given["progress"][:16]
        with self._parts.store.write() as conn:
            snapshot = records.find_snapshot(conn, call, item_id)
            records.change_snapshot(conn, snapshot, self._parts.clock, **values)


def _must_allow(call: VolumeCall, volume: Row, force: bool | None) -> None:
    """Raise Fault 400 when the volume's status does not allow a snapshot.

    From 3.66 a volume in use needs no `force`, and `force` may be true or missing.
    """
    if call.at_least(66) and force is False:
        raise Fault(
            400,
            "Invalid value for 'force'. As of microversion 3.66 a snapshot of a volume in use "
            "needs no force: leave it out.",
        )
    allowed = [records.AVAILABLE]
    if force or call.at_least(66):
        allowed.append(records.IN_USE)
    records.must_be_in(volume, allowed, "be snapshotted")


def _either(values: Row, name: str) -> Any:
    own = values.get(name)
    return own if own is not None else values.get(f"display_{name}")


def _inner(given: Row, name: str) -> Row:
    if not isinstance(given[name], dict):
        raise Fault(400, f"{name} must be an object.")
    return dict(given[name])

# SPDX-License-Identifier: Apache-2.0
"""`/v3/os-volume-transfer` and `/v3/volume-transfers` (3.55): give a volume to another project.

The giver gets a key, tells it to the taker by other means, and the taker accepts with it. The key
is stored as a digest.
"""

import hashlib
import hmac
import secrets

import falcon
from sqlalchemy import ColumnElement, insert, select, true, update
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.store import tables
from services.companion.volume import listing, quota, records
from services.companion.volume.bodies import NAME, truth
from services.companion.volume.call import VolumeCall, call_of
from services.companion.volume.parts import Parts
from services.companion.volume.records import AVAILABLE, AWAITING_TRANSFER, Row, stamp
from services.companion.web import fields, query
from services.companion.web.body import answer, read_object
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, shown, text

_KEY_BYTES = 16
_t, _v = tables.volume_transfers.c, tables.volumes.c
_CREATE = (
    Field("volume_id", text(255, 1), required=True),
    Field("name", NAME),
    Field("no_snapshots", nullable(truth)),
)
_ACCEPT = (Field("auth_key", text(255, 1), required=True),)


class Transfers:
    """Transfers, one and many."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The own project's: ids and names."""
        call = call_of(req)
        answer(resp, {"transfers": [_summary(call, row) for row in self._list(req, call)]})

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The own project's, in full."""
        call = call_of(req)
        answer(resp, {"transfers": [_detail(call, row) for row in self._list(req, call)]})

    def _list(self, req: falcon.Request, call: VolumeCall) -> list[Row]:
        asked = {name: values[-1] for name, values in query.values(req).items()}
        everybody = asked.get("all_tenants", "false").lower() not in listing.FALSE
        ours = true() if everybody and call.sees_everything else _t.source_project_id == (
            call.project_id or ""
        )  # fmt: skip
        size = min(listing.whole(asked, "limit", query.MOST_PER_PAGE), query.MOST_PER_PAGE)
        wanted = select(tables.volume_transfers).where(ours, ~_t.accepted)
        ordered = wanted.order_by(_t.created_at.desc(), _t.id)
        start = listing.whole(asked, "offset", 0)
        with self._parts.store.read() as conn:
            rows = conn.execute(ordered.offset(start).limit(size)).mappings()
            return [dict(row) for row in rows]

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Offer a volume; the key is in this answer and nowhere else."""
        call, parts = call_of(req), self._parts
        call.must_write()
        values = fields.on_create(_CREATE, read_object(req, "transfer"))
        key = secrets.token_hex(_KEY_BYTES)
        with parts.store.write() as conn:
            volume = records.find(conn, call, values["volume_id"])
            records.must_be_in(volume, (AVAILABLE,), "be transferred")
            records.change(conn, volume, parts.clock, status=AWAITING_TRANSFER)
            row: Row = {
                "id": new_uuid(), "name": values.get("name"), "volume_id": volume["id"],
                "digest": _digest(key), "source_project_id": volume["project_id"],
                "destination_project_id": None, "accepted": False,
                "no_snapshots": bool(values.get("no_snapshots")), "created_at": stamp(parts.clock),
            }  # fmt: skip
            conn.execute(insert(tables.volume_transfers).values(row))
        answer(resp, {"transfer": {**_detail(call, row), "auth_key": key}}, 202)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """One transfer."""
        call = call_of(req)
        with self._parts.store.read() as conn:
            row = _find(conn, item_id, _own(call))
        answer(resp, {"transfer": _detail(call, row)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Offer it no longer."""
        call, parts = call_of(req), self._parts
        call.must_write()
        with parts.store.write() as conn:
            row = _find(conn, item_id, _own(call))
            records.remove(conn, tables.volume_transfers, row["id"])
            [volume] = records.load(conn, [row["volume_id"]])
            if volume["status"] == AWAITING_TRANSFER:
                records.change(conn, volume, parts.clock, status=AVAILABLE)
        resp.status = 202

    def on_post_accept(self, req: falcon.Request, resp: falcon.Response, item_id: str) -> None:
        """Take the volume, with the key."""
        call, parts = call_of(req), self._parts
        call.must_write()
        key = fields.on_create(_ACCEPT, read_object(req, "accept"))["auth_key"]
        with parts.store.write() as conn:
            row = _find(conn, item_id, true())
            if not hmac.compare_digest(_digest(key), row["digest"]):
                raise Fault(400, f"Invalid auth key: Attempt to transfer {row['id']}.")
            [volume] = records.load(conn, [row["volume_id"]])
            records.must_be_in(volume, (AWAITING_TRANSFER,), "be accepted")
            self._hand_over(conn, call, row, volume)
        answer(resp, {"transfer": {**_summary(call, row), "volume_id": row["volume_id"]}}, 202)

    def _hand_over(self, conn: Connection, call: VolumeCall, row: Row, volume: Row) -> None:
        parts, project = self._parts, call.own_project
        snapshots = [] if row["no_snapshots"] else records.snapshots_of(conn, volume["id"])
        more = {
            "volumes": 1,
            "snapshots": len(snapshots),
            "gigabytes": volume["size"] + sum(snapshot["size"] for snapshot in snapshots),
        }
        quota.check(conn, project, volume["type_name"], more, parts.quota)
        owner = {"project_id": project, "user_id": call.caller.user_id}
        records.change(conn, volume, parts.clock, status=AVAILABLE, **owner)
        for snapshot in snapshots:
            records.change_snapshot(conn, snapshot, parts.clock, **owner)
        done = {"accepted": True, "destination_project_id": project}
        conn.execute(update(tables.volume_transfers).where(_t.id == row["id"]).values(done))
        row |= done


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _own(call: VolumeCall) -> ColumnElement[bool]:
    return true() if call.sees_everything else _t.source_project_id == (call.project_id or "")


def _find(conn: Connection, item_id: str, condition: ColumnElement[bool]) -> Row:
    wanted = select(tables.volume_transfers).where(_t.id == item_id, ~_t.accepted, condition)
    row = conn.execute(wanted).mappings().one_or_none()
    if row is None:
        raise Fault(404, f"Transfer {shown(item_id)} could not be found.")
    return dict(row)


def _summary(call: VolumeCall, row: Row) -> Row:
    links = call.links(f"os-volume-transfer/{row['id']}")
    names = ("id", "name", "volume_id")
    return {**{name: row[name] for name in names}, "links": links}


def _detail(call: VolumeCall, row: Row) -> Row:
    detail = {**_summary(call, row), "created_at": row["created_at"]}
    if call.at_least(55):
        detail["no_snapshots"] = row["no_snapshots"]
    if call.at_least(57):
        for name in ("source_project_id", "destination_project_id", "accepted"):
            detail[name] = row[name]
    return detail

# SPDX-License-Identifier: Apache-2.0
"""When a volume or snapshot may go, and the jobs by which it goes."""

from sqlalchemy import delete as sql_delete
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.volume import records
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row
from services.companion.web.faults import Fault

_AT_REST = frozenset(
    (records.AVAILABLE, records.ERROR, records.ERROR_EXTENDING, "error_restoring", "error_managing")
)
_SNAPSHOT_AT_REST = frozenset((records.AVAILABLE, records.ERROR))


def delete(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, *, cascade: bool, force: bool
) -> None:
    """Have the volume go. `force`: whatever its status. Raises Fault 400."""
    if volume["attachments"] or not (force or volume["status"] in _AT_REST):
        raise Fault(
            400,
            "Invalid volume: Volume status must be available or error or error_restoring or "
            "error_extending or error_managing and must not be migrating, attached, belong to a "
            "group, have snapshots, awaiting a transfer, or be disassociated from snapshots after "
            f"volume transfer. The status is {volume['status']}.",
        )
    snapshots = records.snapshots_of(conn, volume["id"])
    if snapshots and not cascade:
        raise Fault(
            400, f"Invalid volume: Volume {volume['id']} still has {len(snapshots)} snapshots."
        )
    for snapshot in snapshots:
        if snapshot["status"] != records.DELETING:
            delete_snapshot(conn, call, parts, snapshot, force=force)
    t = tables.volume_transfers
    conn.execute(sql_delete(t).where(t.c.volume_id == volume["id"]))
    records.change(conn, volume, parts.clock, status=records.DELETING)
    parts.jobs.add(conn, "delete", volume["id"], request_id=call.request_id)


def delete_snapshot(
    conn: Connection, call: VolumeCall, parts: Parts, snapshot: Row, *, force: bool
) -> None:
    """Have the snapshot go. `force`: whatever its status. Raises Fault 400."""
    if not (force or snapshot["status"] in _SNAPSHOT_AT_REST):
        raise Fault(
            400,
            "Invalid snapshot: Snapshot status must be available or error, but current status is: "
            f"{snapshot['status']}.",
        )
    records.change_snapshot(conn, snapshot, parts.clock, status=records.DELETING)
    parts.jobs.add(
        conn, "delete-snapshot", snapshot["id"], source=snapshot["volume_id"],
        request_id=call.request_id,
    )  # fmt: skip

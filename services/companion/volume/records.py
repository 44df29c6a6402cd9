# SPDX-License-Identifier: Apache-2.0
"""Volumes and snapshots in the store: who may see them, how they are read and changed.

Reading any number of volumes takes two statements: rows with the names of their types, attachments.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, select, true, update
from sqlalchemy.engine import Connection

from common.clock import Clock, iso_microseconds
from services.companion.store import tables
from services.companion.volume.call import VolumeCall
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

Row = dict[str, Any]

AVAILABLE, IN_USE, RESERVED = "available", "in-use", "reserved"
ATTACHING, DETACHING = "attaching", "detaching"
CREATING, DOWNLOADING, DELETING = "creating", "downloading", "deleting"
EXTENDING, UPLOADING, REVERTING = "extending", "uploading", "reverting"
ERROR, ERROR_DELETING, ERROR_EXTENDING = "error", "error_deleting", "error_extending"
MAINTENANCE, AWAITING_TRANSFER = "maintenance", "awaiting-transfer"

_v = tables.volumes.c
_a = tables.volume_attachments.c


def stamp(clock: Clock) -> str:
    """The present time as the Block Storage API shows it."""
    return iso_microseconds(clock.now())


def visible(call: VolumeCall, table: Table) -> ColumnElement[bool]:
    """Rows of a table that the caller may see."""
    if call.sees_everything:
        return true()
    return table.c.project_id == (call.project_id or "")


def find(conn: Connection, call: VolumeCall, volume_id: str) -> Row:
    """One volume. Raises Fault 404 also for those that the caller may not see."""
    found = load(conn, [volume_id], visible(call, tables.volumes))
    if not found:
        raise Fault(404, f"Volume {shown(volume_id)} could not be found.")
    return found[0]


def find_own(conn: Connection, call: VolumeCall, volume_id: str) -> Row:
    """One volume that the caller may change. Raises Fault 403 or 404."""
    volume = find(conn, call, volume_id)
    call.must_write()
    return volume


def load(
    conn: Connection, ids: Sequence[str], condition: ColumnElement[bool] | None = None
) -> list[Row]:
    """Volumes with `type_name` and `attachments`, in the order of `ids`."""
    wanted = (
        select(tables.volumes, tables.volume_types.c.name.label("type_name"))
        .join_from(tables.volumes, tables.volume_types)
        .where(_v.id.in_(ids))
    )
    if condition is not None:
        wanted = wanted.where(condition)
    rows = {row["id"]: dict(row) for row in conn.execute(wanted).mappings()}
    attached: dict[str, list[Row]] = defaultdict(list)
    for row in attachments(conn, _a.volume_id.in_(rows)):
        attached[row["volume_id"]].append(row)
    return [{**rows[i], "attachments": attached[i]} for i in ids if i in rows]


def attachments(conn: Connection, condition: ColumnElement[bool]) -> list[Row]:
    """Attachments, the oldest first."""
    wanted = select(tables.volume_attachments).where(condition).order_by(_a.created_at, _a.id)
    return [dict(row) for row in conn.execute(wanted).mappings()]


def change(conn: Connection, volume: Row, clock: Clock, **values: Any) -> Row:
    """Set values of a volume; the volume as it is then."""
    values["updated_at"] = stamp(clock)
    conn.execute(update(tables.volumes).where(_v.id == volume["id"]).values(values))
    return {**volume, **values}


def must_be_in(volume: Row, statuses: Collection[str], purpose: str) -> None:
    """Raise Fault 400 for a volume in another status."""
    if volume["status"] not in statuses:
        wanted = " or ".join(sorted(statuses))
        raise Fault(
            400,
            f"Invalid volume: Volume {volume['id']} status must be {wanted} to {purpose}, but "
            f"current status is: {volume['status']}.",
        )


def must_not_be_locked(volume: Row, purpose: str, *more: str) -> None:
    """Raise Fault 400 for a volume in maintenance, or in one of the statuses `more`."""
    if volume["status"] in (MAINTENANCE, *more):
        raise Fault(
            400,
            f"Invalid volume: {purpose} is not allowed for volumes in {volume['status']} status.",
        )


# --- snapshots -------------------------------------------------------------------------------

_s = tables.volume_snapshots.c


def find_snapshot(conn: Connection, call: VolumeCall, snapshot_id: str) -> Row:
    """One snapshot. Raises Fault 404 also for those that the caller may not see."""
    wanted = select(tables.volume_snapshots).where(
        _s.id == snapshot_id, visible(call, tables.volume_snapshots)
    )
    row = conn.execute(wanted).mappings().one_or_none()
    if row is None:
        raise Fault(404, f"Snapshot {shown(snapshot_id)} could not be found.")
    return dict(row)


def snapshots_of(conn: Connection, volume_id: str) -> list[Row]:
    """Snapshots of a volume, the newest first."""
    wanted = select(tables.volume_snapshots).where(_s.volume_id == volume_id)
    newest = wanted.order_by(_s.created_at.desc(), _s.id)
    return [dict(row) for row in conn.execute(newest).mappings()]


def change_snapshot(conn: Connection, snapshot: Row, clock: Clock, **values: Any) -> Row:
    """Set values of a snapshot; the snapshot as it is then."""
    values["updated_at"] = stamp(clock)
    table = tables.volume_snapshots
    conn.execute(update(table).where(_s.id == snapshot["id"]).values(values))
    return {**snapshot, **values}


def remove(conn: Connection, table: Table, row_id: str) -> None:
    """Delete a row."""
    conn.execute(delete(table).where(table.c.id == row_id))

# SPDX-License-Identifier: Apache-2.0
"""Actions that change a volume's data or where it is."""

from sqlalchemy import update
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.volume import attaching, quota, records
from services.companion.volume.bodies import gib, truth
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import AVAILABLE, IN_USE, Row
from services.companion.volume.views import ATTACHED
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, text

_COMPLETION = (
    Field("new_volume", text(255, 1), required=True),
    Field("error", nullable(truth)),
)


def extend(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Make it larger, from 3.42 also in use; then its servers are told."""
    size = fields.on_create((Field("new_size", gib, required=True),), given)["new_size"]
    allowed = (AVAILABLE, IN_USE) if call.at_least(42) else (AVAILABLE,)
    records.must_be_in(volume, allowed, "extend")
    if size <= volume["size"]:
        raise Fault(
            400,
            "Invalid input received: New size for extend must be greater than current size. "
            f"(current: {volume['size']}, extended: {size}).",
        )
    project, more = volume["project_id"], {"gigabytes": size - volume["size"]}
    quota.check_size(conn, project, size, parts.quota)
    quota.check(conn, project, volume["type_name"], more, parts.quota)
    records.change(
        conn, volume, parts.clock, status=records.EXTENDING,
        new_size=size,
    )  # fmt: skip
    parts.jobs.add(conn, "extend", volume["id"], request_id=call.request_id, size=size)


def revert(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """As it was when its latest snapshot was made (3.40)."""
    word = fields.on_create((Field("snapshot_id", text(255, 1), required=True),), given)
    snapshot = records.find_snapshot(conn, call, word["snapshot_id"])
    records.must_be_in(volume, (AVAILABLE,), "revert to a snapshot")
    newest = next(iter(records.snapshots_of(conn, volume["id"])), None)
    if newest is None or newest["id"] != snapshot["id"]:
        raise Fault(
            400, f"Specified snapshot_id={snapshot['id']} isn't the latest one of the volume."
        )
    if snapshot["status"] != AVAILABLE:
        raise Fault(400, f"Invalid snapshot: its status is {snapshot['status']}.")
    records.change(conn, volume, parts.clock, status=records.REVERTING)
    parts.jobs.add(conn, "revert", volume["id"], source=snapshot["id"], request_id=call.request_id)


def migrate(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """There is one place for volumes, so no other to go to."""
    raise Fault(400, "Invalid input received: No available service named by 'host' or 'cluster'.")


def complete_migration(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> Row:
    """The compute service has copied the volume to another one, which its server has from now on.

    Only swaps come here: where volumes cannot move, none is in a migration.
    """
    values = fields.on_create(_COMPLETION, given)
    new = records.find(conn, call, values["new_volume"])
    for each, side in ((volume, "Source"), (new, "Destination")):
        if each["migration_status"]:
            raise Fault(400, f"Invalid volume: {side} volume is not mid-migration.")
    if not values.get("error"):
        _swap_attachments(conn, parts, volume, new)
    return {"save_volume_id": new["id"]}


def _swap_attachments(conn: Connection, parts: Parts, old: Row, new: Row) -> None:
    """What was attached by the old way moves over; attachments that have a successor stay."""
    a = tables.volume_attachments
    servers = {attachment["instance_uuid"] for attachment in new["attachments"]}
    for attachment in old["attachments"]:
        if attachment["instance_uuid"] not in servers and attachment["status"] == ATTACHED:
            ours = a.c.id == attachment["id"]
            conn.execute(update(a).where(ours).values(volume_id=new["id"]))
            attaching.settle(conn, old, parts.clock)
            attaching.settle(conn, new, parts.clock)

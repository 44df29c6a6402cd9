# SPDX-License-Identifier: Apache-2.0
"""Actions that change what is said about a volume: flags, status, type."""

from sqlalchemy import delete
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.volume import capabilities, deletion, quota, records, type_records
from services.companion.volume.bodies import truth
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import AVAILABLE, IN_USE, Row
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, one_of, text

_STATUSES = (
    "creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing",
    "attaching", "in-use", "maintenance", "detaching", "reserved", "uploading", "downloading",
    "extending", "error_extending", "retyping", "reverting", "awaiting-transfer", "backing-up",
    "restoring-backup", "error_restoring", "error_backing-up",
)  # fmt: skip
_ATTACH_STATUSES = ("attached", "attaching", "detached", "reserved", "error_attaching",
                    "error_detaching", "deleted")  # fmt: skip
_RESET = (
    Field("status", nullable(one_of(*_STATUSES))),
    Field("attach_status", nullable(one_of(*_ATTACH_STATUSES))),
    Field("migration_status", nullable(text(64))),
)


def set_bootable(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Whether servers boot from it."""
    bootable = fields.on_create((Field("bootable", truth, required=True),), given)["bootable"]
    records.change(conn, volume, parts.clock, bootable=bootable)


def update_readonly_flag(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> None:
    """Whether it is attached for reading only."""
    readonly = fields.on_create((Field("readonly", truth, required=True),), given)["readonly"]
    records.must_be_in(volume, (AVAILABLE,), "update readonly flag")
    records.change(conn, volume, parts.clock, readonly=readonly)


def reset_status(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Say of a volume what an administrator knows better."""
    values = {n: v for n, v in fields.on_create(_RESET, given).items() if v is not None}
    if not values:
        raise Fault(400, "Must specify 'status', 'attach_status' or 'migration_status'.")
    attach_status = values.pop("attach_status", None)
    if values.get("migration_status") == "none":
        values["migration_status"] = None
    if attach_status == "detached":
        a = tables.volume_attachments
        conn.execute(delete(a).where(a.c.volume_id == volume["id"]))
    records.change(conn, volume, parts.clock, **values)


def force_delete(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Delete it whatever its status."""
    deletion.delete(conn, call, parts, volume, cascade=False, force=True)


def retype(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Another type: all types are of the same storage, so no data moves."""
    word = fields.on_create((Field("new_type", text(255, 1), required=True),), given)["new_type"]
    records.must_be_in(volume, (AVAILABLE, IN_USE), "retype")
    wanted = type_records.find_named(conn, call, word)
    if wanted["id"] == volume["type_id"]:
        raise Fault(400, "Invalid input received: New volume_type same as original.")
    missing = capabilities.unmet(wanted["extra_specs"], parts.backend)
    if missing is not None:
        raise Fault(400, f"Invalid input received: No valid backend was found: none has {missing}.")
    multiattach = type_records.is_multiattach(wanted["extra_specs"])
    if multiattach != volume["multiattach"] and volume["status"] != AVAILABLE:
        raise Fault(
            400,
            "Invalid input received: Retyping an in-use volume between types with and without "
            "multiattach is not supported.",
        )
    more = {"volumes": 1, "gigabytes": volume["size"]}
    quota.check_type(conn, volume["project_id"], wanted["name"], more, parts.quota)
    records.change(conn, volume, parts.clock, type_id=wanted["id"], multiattach=multiattach)

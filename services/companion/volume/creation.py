# SPDX-License-Identifier: Apache-2.0
"""What a request for a new volume asks, and the row that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Connection

from common.ids import new_uuid
from services.companion.store import tables
from services.companion.volume import images, quota, records, type_records
from services.companion.volume.attaching import file_name
from services.companion.volume.bodies import DESCRIPTION, NAME, OPTIONAL_GIB, metadata, truth
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import Row, stamp
from services.companion.volume.work import snapshot_name
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, shown, text

ZONE = "nova"
_ID = nullable(text(255))
_FIELDS = (
    Field("size", OPTIONAL_GIB),
    Field("name", NAME),
    Field("display_name", NAME),
    Field("description", DESCRIPTION),
    Field("display_description", DESCRIPTION),
    Field("volume_type", _ID),
    Field("metadata", nullable(metadata)),
    Field("snapshot_id", _ID),
    Field("source_volid", _ID),
    Field("imageRef", nullable(lambda value: value)),
    Field("image_id", nullable(lambda value: value)),
    Field("availability_zone", _ID),
    Field("multiattach", nullable(truth)),
)
# Of features that are not here; null is how clients say that they do not use them.
_ABSENT = ("consistencygroup_id", "group_id", "backup_id", "source_replica")
# Older clients send these, up to 3.52; they mean nothing.
_MEANINGLESS = ("user_id", "project_id", "status", "attach_status")
_SOURCES = ("snapshot_id", "source_volid", "image_id")


@dataclass(frozen=True)
class Wanted:
    """A request that makes sense by itself. `size` None: as large as what it is made of."""

    size: int | None
    name: str | None
    description: str | None
    type_word: str | None
    metadata: dict[str, str]
    snapshot_id: str | None
    source_volid: str | None
    image_id: Any


@dataclass(frozen=True)
class Origin:
    """What the new volume is made of."""

    size: int = 0
    type_id: str | None = None
    bootable: bool = False
    image_metadata: Mapping[str, str] | None = None
    copy_of: str | None = None
    source: str | None = None  # the id of the volume or snapshot that is read
    word: str = ""


def parse(call: VolumeCall, given: Row) -> Wanted:
    """The request. Raises Fault 400."""
    if call.at_least(53):
        fields.refuse_unknown(
            (*_FIELDS, *(Field(name, lambda value: value) for name in _ABSENT)), given
        )
    for name in _ABSENT:
        if given.get(name):
            raise Fault(400, f"Invalid input received: {name} is not supported here.")
    try:
        values = fields.on_create(_FIELDS, given)
    except Fault as wrong:
        words = wrong.message.replace("Invalid input for size", "Invalid volume size provided")
        raise Fault(wrong.status, words) from wrong
    if values.get("multiattach"):
        raise Fault(
            400,
            "multiattach parameter has been removed. The default behavior is to use multiattach "
            "enabled volume types.",
        )
    image_id = values.get("imageRef") or values.get("image_id") or None
    zone = values.get("availability_zone")
    if zone and zone != ZONE:
        raise Fault(400, f"Availability zone '{shown(zone)}' is invalid.")
    wanted = Wanted(
        size=values.get("size"),
        name=values["name"] if values.get("name") is not None else values.get("display_name"),
        description=values["description"]
        if values.get("description") is not None
        else values.get("display_description"),
        type_word=values.get("volume_type") or None,
        metadata=values.get("metadata") or {},
        snapshot_id=values.get("snapshot_id") or None,
        source_volid=values.get("source_volid") or None,
        image_id=image_id,
    )
    sources = [n for n in _SOURCES if getattr(wanted, n)]
    if len(sources) > 1:
        raise Fault(400, f"A volume is made of one thing; {' and '.join(sources)} were given.")
    if wanted.size is None and not (wanted.snapshot_id or wanted.source_volid):
        raise Fault(
            400,
            "Invalid volume size provided for create request: None (size argument must be an "
            "integer (or string representation of an integer) and greater than zero).",
        )
    return wanted


def create(conn: Connection, call: VolumeCall, parts: Parts, wanted: Wanted) -> Row:
    """Insert the volume and its job. Raises Fault 400, 404 or 413."""
    if wanted.image_id and call.at_least(46):
        snapshot_id = images.snapshot_behind(conn, call.caller, wanted.image_id)
        if snapshot_id:
            wanted = replace(wanted, image_id=None, snapshot_id=snapshot_id)
    origin = _origin(conn, call, wanted)
    size = wanted.size or origin.size
    if size < origin.size:
        raise Fault(
            400,
            f"Invalid input received: Volume size '{size}'GB cannot be smaller than the "
            f"{origin.word} size {origin.size}GB. They must be >= original {origin.word} size.",
        )
    kind = _type(conn, call, parts, wanted, origin)
    project = call.own_project
    quota.check_size(conn, project, size, parts.quota)
    quota.check(conn, project, kind["name"], {"volumes": 1, "gigabytes": size}, parts.quota)
    row: Row = {
        "id": new_uuid(), "project_id": project, "user_id": call.caller.user_id,
        "name": wanted.name, "description": wanted.description, "size": size,
        "status": records.CREATING, "type_id": kind["id"], "bootable": origin.bootable,
        "multiattach": type_records.is_multiattach(kind["extra_specs"]),
        "availability_zone": ZONE, "image_id": wanted.image_id,
        "snapshot_id": wanted.snapshot_id, "source_volid": wanted.source_volid,
        "metadata": wanted.metadata, "image_metadata": dict(origin.image_metadata or {}),
        "created_at": stamp(parts.clock),
    }  # fmt: skip
    conn.execute(insert(tables.volumes).values(row))
    copy = {"copy_of": origin.copy_of} if origin.copy_of else {}
    parts.jobs.add(
        conn, "create", row["id"], source=origin.source, request_id=call.request_id, **copy
    )
    return records.load(conn, [row["id"]])[0]


def _origin(conn: Connection, call: VolumeCall, wanted: Wanted) -> Origin:
    if wanted.snapshot_id:
        snapshot = records.find_snapshot(conn, call, wanted.snapshot_id)
        if snapshot["status"] != records.AVAILABLE:
            raise Fault(
                400,
                f"Invalid snapshot: Originating snapshot status must be one of 'available' values, "
                f"but is {snapshot['status']}.",
            )
        [volume] = records.load(conn, [snapshot["volume_id"]])
        return Origin(
            snapshot["size"], volume["type_id"], snapshot["bootable"], snapshot["image_metadata"],
            snapshot_name(snapshot["id"]), snapshot["id"], "snapshot",
        )  # fmt: skip
    if wanted.source_volid:
        volume = records.find(conn, call, wanted.source_volid)
        records.must_be_in(volume, (records.AVAILABLE, records.IN_USE), "be copied")
        return Origin(
            volume["size"], volume["type_id"], volume["bootable"], volume["image_metadata"],
            file_name(volume), volume["id"], "source volume",
        )  # fmt: skip
    if wanted.image_id:
        image = images.usable(conn, call.caller, wanted.image_id, wanted.size or 0)
        return Origin(bootable=True, image_metadata=images.described(image))
    return Origin()


def _type(conn: Connection, call: VolumeCall, parts: Parts, wanted: Wanted, origin: Origin) -> Row:
    word = wanted.type_word or origin.type_id
    if word is None and origin.image_metadata:
        word = origin.image_metadata.get("cinder_img_volume_type")
    if word is not None:
        return type_records.find_named(conn, call, word)
    return type_records.default_of(conn, call.own_project, parts.default_type)

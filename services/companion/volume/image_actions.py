# SPDX-License-Identifier: Apache-2.0
"""Actions between a volume and images: what it knows of its image, uploads, another image in it."""

from typing import Any

from sqlalchemy.engine import Connection

from services.companion.image.attributes import CONTAINER_FORMATS, VISIBILITIES
from services.companion.volume import images, records
from services.companion.volume.bodies import MOST_METADATA, image_metadata, truth
from services.companion.volume.call import VolumeCall
from services.companion.volume.parts import Parts
from services.companion.volume.records import AVAILABLE, ERROR, RESERVED, Row
from services.companion.web import fields
from services.companion.web.faults import Fault
from services.companion.web.fields import Field, nullable, one_of, shown, text

_UPLOAD = (
    Field("image_name", text(255, 1), required=True),
    Field("force", nullable(truth)),
    Field("disk_format", nullable(one_of(*images.WRITABLE)), default="raw"),
    Field("container_format", nullable(one_of(*CONTAINER_FORMATS)), default="bare"),
    Field("visibility", nullable(one_of(*VISIBILITIES))),
    Field("protected", nullable(truth)),
)
_REIMAGE = (
    Field("image_id", text(255, 1), required=True),
    Field("reimage_reserved", nullable(truth)),
)


def set_metadata(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> Row:
    """More of what the volume knows of its image."""
    checked = fields.on_create((Field("metadata", image_metadata, required=True),), given)
    pairs = {**volume["image_metadata"], **checked["metadata"]}
    if len(pairs) > 2 * MOST_METADATA:
        raise Fault(413, f"More than {2 * MOST_METADATA} items of image metadata.")
    records.change(conn, volume, parts.clock, image_metadata=pairs)
    return {"metadata": pairs}


def unset_metadata(
    conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row
) -> None:
    """One item less."""
    key = fields.on_create((Field("key", text(255, 1), required=True),), given)["key"]
    if key not in volume["image_metadata"]:
        raise Fault(404, f"Metadata item {shown(key)} was not found.")
    rest = {k: v for k, v in volume["image_metadata"].items() if k != key}
    records.change(conn, volume, parts.clock, image_metadata=rest)


def show_metadata(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> Row:
    """What the volume knows of its image."""
    return {"metadata": volume["image_metadata"]}


def upload(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> Row:
    """Make an image of a volume that nobody uses; its data follows behind the request."""
    values = fields.on_create(_UPLOAD, given)
    wanted: dict[str, Any] = {
        "image_name": values["image_name"],
        "disk_format": values["disk_format"] or "raw",
        "container_format": values["container_format"] or "bare",
        "visibility": "shared",
        "protected": False,
    }
    if call.at_least(1):
        wanted["visibility"] = values.get("visibility") or "private"
        wanted["protected"] = bool(values.get("protected"))
    if wanted["visibility"] == "public" and not call.is_admin:
        raise Fault(403, "You are not authorized to publicize images.")
    # As Cinder by default: `force` is for storage that copies what is in use, and is not needed.
    records.must_be_in(volume, (AVAILABLE,), "upload it to an image")
    image = images.insert_new(conn, parts.clock, volume, wanted)
    volume = records.change(conn, volume, parts.clock, status=records.UPLOADING)
    parts.jobs.add(
        conn, "upload", volume["id"], request_id=call.request_id,
        image_id=image["id"], disk_format=wanted["disk_format"],
    )  # fmt: skip
    answer: Row = {
        "id": volume["id"], "updated_at": volume["updated_at"], "status": volume["status"],
        "display_description": volume["description"], "size": volume["size"],
        "volume_type": {"id": volume["type_id"], "name": volume["type_name"]},
        "image_id": image["id"], "image_name": image["name"],
        "container_format": image["container_format"], "disk_format": image["disk_format"],
    }  # fmt: skip
    if call.at_least(1):
        answer |= {n: wanted[n] for n in ("visibility", "protected")}
    return {"os-volume_upload_image": answer}


def reimage(conn: Connection, call: VolumeCall, parts: Parts, volume: Row, given: Row) -> None:
    """Put an image's disk into the volume, instead of what is there."""
    values = fields.on_create(_REIMAGE, given)
    allowed = [AVAILABLE, ERROR]
    if values.get("reimage_reserved"):
        allowed.append(RESERVED)
    if volume["status"] not in allowed or any(
        attachment["connector"] for attachment in volume["attachments"]
    ):
        raise Fault(
            409,
            f"Invalid volume: Volume {volume['id']} status must be {' or '.join(allowed)} to "
            f"re-image, but the current status is {volume['status']}.",
        )
    image = images.usable(conn, call.caller, values["image_id"], volume["size"])
    records.change(conn, volume, parts.clock, status=records.DOWNLOADING)
    parts.jobs.add(
        conn, "reimage", volume["id"], request_id=call.request_id,
        image_id=image["id"], image_metadata=images.described(image),
    )  # fmt: skip

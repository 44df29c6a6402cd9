# SPDX-License-Identifier: Apache-2.0
"""Images as volumes begin with, and as they become: the companion's own image store."""

import json
from typing import Any, BinaryIO

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.ids import is_uuid_like, new_uuid
from services.companion.identity.callers import Caller
from services.companion.image import records
from services.companion.image.files import Files
from services.companion.image.records import Image
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume.backend import ImageData
from services.companion.volume.jobs import WorkFailed
from services.companion.volume.records import Row
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

# What volumes are made of; what they can be turned into.
READABLE = ("raw", "iso", "qcow2", "vmdk", "vdi", "vhdx", "vhd")
WRITABLE = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vhd")
_GIB = 1 << 30
_DESCRIBED = ("checksum", "container_format", "disk_format", "min_disk", "min_ram", "size")
# What an image says of itself, which another image made from its volume says for itself.
_NOT_PASSED_ON = frozenset((*_DESCRIBED, "image_id", "image_name", "signature_verified"))
_i = tables.images.c


def usable(conn: Connection, caller: Caller, image_id: Any, gib: int) -> Image:
    """An image that a volume of this size can begin with. Raises Fault 400."""
    if not isinstance(image_id, str) or not is_uuid_like(image_id):
        raise Fault(400, "Invalid imageRef provided.")
    found = records.load(conn, [image_id.lower()], records.may_see(caller))
    if not found:
        raise Fault(400, "Invalid image identifier or unable to access requested image.")
    [image] = found
    if image["status"] != "active":
        raise Fault(400, f"Invalid input received: Image {image['id']} is not active.")
    if image["disk_format"] not in READABLE:
        raise Fault(
            400, f"Invalid input received: No volume can be made of {image['disk_format']}."
        )
    if image["min_disk"] > gib:
        raise Fault(
            400,
            f"Invalid input received: Volume size {gib}GB cannot be smaller than the image "
            f"minDisk size {image['min_disk']}GB.",
        )
    least = -(-(image["size"] or 0) // _GIB)
    if least > gib:
        raise Fault(
            400,
            f"Invalid input received: Size of specified image {least}GB is larger than volume "
            f"size {gib}GB.",
        )
    return image


def snapshot_behind(conn: Connection, caller: Caller, image_id: Any) -> str | None:
    """The snapshot that an image without data stands for, as one of a server that boots from a
    volume does: the one of its root disk. None for other images, and those that are not there.
    """
    if not isinstance(image_id, str) or not is_uuid_like(image_id):
        return None
    found = records.load(conn, [image_id.lower()], records.may_see(caller))
    if not found or found[0]["size"]:
        return None
    try:
        disks = json.loads(found[0]["properties"].get("block_device_mapping", "[]"))
    except ValueError:
        return None
    for disk in disks if isinstance(disks, list) else ():
        if isinstance(disk, dict) and disk.get("boot_index") in (0, "0"):
            snapshot_id = disk.get("snapshot_id")
            return snapshot_id if is_uuid_like(str(snapshot_id)) else None
    return None


def described(image: Image) -> dict[str, str]:
    """What a volume keeps of the image it was made of (`volume_image_metadata`)."""
    own = {name: str(image[name]) for name in _DESCRIBED if image[name] is not None}
    names = {"image_id": image["id"], "image_name": image["name"] or ""}
    return {**image["properties"], **own, **names}


def data_of(conn: Connection, files: Files, image_id: str) -> ImageData:
    """The data of an image. Raises: WorkFailed."""
    wanted = select(_i.status, _i.disk_format).where(_i.id == image_id)
    row = conn.execute(wanted).one_or_none()
    if row is None or row.status != "active":
        raise WorkFailed(f"image {shown(image_id)} is not there any more")
    return ImageData(image_id, files.path(image_id), row.disk_format)


def insert_new(conn: Connection, clock: Clock, volume: Row, wanted: Row) -> Image:
    """An image that waits for the data of a volume; it belongs to the volume's project.

    Nobody else can give it data: it is `saving` from the beginning.
    """
    now = records.stamp(clock.now())
    image: Image = {
        "id": new_uuid(), "name": wanted["image_name"], "status": "saving",
        "visibility": wanted["visibility"], "disk_format": wanted["disk_format"],
        "container_format": wanted["container_format"], "min_disk": 0, "min_ram": 0,
        "protected": wanted["protected"], "os_hidden": False, "owner": volume["project_id"],
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    for name in ("min_disk", "min_ram"):
        word = volume["image_metadata"].get(name, "")
        if word.isascii() and word.isdigit() and len(word) < 10:
            image[name] = int(word)
    conn.execute(insert(tables.images).values(image))
    free = {k: v for k, v in volume["image_metadata"].items() if k not in _NOT_PASSED_ON}
    records.set_properties(conn, image["id"], free)
    return image


class Uploads:
    """Gives data to images that wait for it."""

    def __init__(self, store: Store, clock: Clock, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._files = files

    def upload(self, image_id: str, disk_format: str, data: BinaryIO, expected: int) -> None:
        """Store the data. Again: from the beginning. Raises: WorkFailed."""
        if not self._change(image_id, {"status": "saving"}):
            raise WorkFailed(f"image {image_id} was deleted")
        try:
            written = self._files.write(image_id, data.read, expected, disk_format)
        except Fault as refused:
            raise WorkFailed(refused.message) from refused
        finished = {
            "status": "active",
            "size": written.size,
            "virtual_size": written.virtual_size,
            "checksum": written.checksum,
            "os_hash_algo": "sha512",
            "os_hash_value": written.sha512,
        }
        if not self._change(image_id, finished):
            self._files.remove(image_id)
            raise WorkFailed(f"image {image_id} was deleted during the upload")

    def _change(self, image_id: str, values: Row) -> bool:
        """Set values of an image without data (or, Again, with it); False when it is gone."""
        with self._store.write() as conn:
            changed = conn.execute(
                update(tables.images)
                .where(_i.id == image_id, _i.status.in_(("queued", "saving", "active")))
                .values(**values, updated_at=records.stamp(self._clock.now()))
            ).rowcount
        return bool(changed)


def give_up(conn: Connection, image_id: str) -> None:
    """Remove an image that never got its data. Again: nothing."""
    waits = _i.status.in_(("queued", "saving"))
    conn.execute(delete(tables.images).where(_i.id == image_id, waits))

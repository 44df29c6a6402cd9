# SPDX-License-Identifier: Apache-2.0
"""The data of images: one file each, there whole or not at all.

An upload goes to a file of its own and is renamed when its last byte is on disk. What a killed
process leaves behind, the next start clears away.
"""

import errno
import hashlib
import logging
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import falcon
from sqlalchemy import select, update

from common.clock import Clock
from services.companion.identity.callers import caller_of
from services.companion.image import records
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.web.body import read_stream
from services.companion.web.faults import Fault

LOG = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_ZEROS = bytes(_CHUNK_BYTES)
_HEADER_BYTES = 32
_QCOW2_MAGIC = b"QFI\xfb"
_SIZED_AS_STORED = ("raw", "iso", "ami", "ari", "aki")


@dataclass(frozen=True)
class Written:
    """What an upload was. Sizes in bytes."""

    size: int
    virtual_size: int | None
    checksum: str
    sha512: str


class Files:
    """Image data below one folder."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def open(self, image_id: str) -> BinaryIO:
        """The data of an image. Raises FileNotFoundError."""
        return (self._folder / image_id).open("rb")

    def path(self, image_id: str) -> Path:
        """Where the data of an image is, if there is any."""
        return self._folder / image_id

    def remove(self, image_id: str) -> None:
        """Forget the data. Again: nothing happens."""
        (self._folder / image_id).unlink(missing_ok=True)

    def write(
        self, image_id: str, read: Callable[[int], bytes], expected: int | None, disk_format: str
    ) -> Written:
        """Take data until `read` gives none. Raises Fault 400 or 413; then nothing is kept."""
        number, name = tempfile.mkstemp(prefix=".upload-", dir=self._folder)
        try:
            with os.fdopen(number, "wb") as file:
                written = self._copy(read, file, disk_format)
                file.flush()
                os.fsync(file.fileno())
            if expected is not None and written.size != expected:
                raise Fault(400, f"{written.size} of {expected} announced bytes arrived.")
            os.rename(name, self._folder / image_id)
        except OSError as failed:
            Path(name).unlink(missing_ok=True)
            if failed.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Fault(413, "There is no room left for the image.") from failed
            raise
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return written

    def _copy(self, read: Callable[[int], bytes], file: BinaryIO, disk_format: str) -> Written:
        md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        size, header = 0, b""
        while chunk := read(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._most_bytes:
                raise Fault(413, f"An image may have at most {self._most_bytes} bytes.")
            if len(header) < _HEADER_BYTES:
                header += chunk[: _HEADER_BYTES - len(header)]
            md5.update(chunk)
            sha512.update(chunk)
            if chunk == _ZEROS[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)  # a hole: disks are mostly empty
            else:
                file.write(chunk)
        file.truncate(size)
        virtual_size = _virtual_size(disk_format, header, size)
        return Written(size, virtual_size, md5.hexdigest(), sha512.hexdigest())

    def tidy(self, known: set[str]) -> None:
        """Remove files that belong to no image of `known`."""
        for path in self._folder.iterdir():
            if path.name not in known:
                LOG.info("Removed %s, which belongs to no image", path.name)
                path.unlink(missing_ok=True)


def _virtual_size(disk_format: str, header: bytes, size: int) -> int | None:
    """The size of the disk in the image; None when its header does not tell."""
    if disk_format in _SIZED_AS_STORED:
        return size
    if disk_format == "qcow2" and header.startswith(_QCOW2_MAGIC) and len(header) >= 32:
        (told,) = struct.unpack_from(">Q", header, 24)
        return int(told) if told < 2**62 else None
    return None


def recover(store: Store, files: Files) -> None:
    """Give uploads that a stop cut short another chance, and clear away their remains."""
    i = tables.images.c
    with store.write() as conn:
        conn.execute(update(tables.images).where(i.status == "saving").values(status="queued"))
        known = set(conn.scalars(select(i.id).where(i.status.in_(("active", "deactivated")))))
    files.tidy(known)


class ImageFile:
    """`/v2/images/{id}/file`."""

    def __init__(self, store: Store, clock: Clock, files: Files) -> None:
        self._store = store
        self._clock = clock
        self._files = files

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """The data, streamed."""
        with self._store.read() as conn:
            image = records.find(conn, caller_of(req), image_id)
        if image["status"] == "deactivated" and not caller_of(req).is_admin:
            raise Fault(403, f"The requested image {image['id']} has been deactivated.")
        if image["status"] not in ("active", "deactivated"):
            resp.status = 204
            return
        try:
            stream = self._files.open(image["id"])
        except FileNotFoundError as gone:
            raise Fault(404, "The image's data is gone.") from gone
        resp.content_type = "application/octet-stream"
        resp.set_header("Content-MD5", image["checksum"])
        resp.set_stream(stream, image["size"])

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Take the data: queued, saving, active."""
        if (req.content_type or "").partition(";")[0] != "application/octet-stream":
            raise Fault(415, "The data must come as application/octet-stream.")
        image = self._begin(req, image_id)
        try:
            stream: Any = read_stream(req)
            written = self._files.write(
                image["id"], stream.read, req.content_length, image["disk_format"]
            )
        except BaseException:
            self._change(image["id"], "saving", {"status": "queued"})
            raise
        finished = {
            "status": "active",
            "size": written.size,
            "virtual_size": written.virtual_size,
            "checksum": written.checksum,
            "os_hash_algo": "sha512",
            "os_hash_value": written.sha512,
        }
        if not self._change(image["id"], "saving", finished):
            self._files.remove(image["id"])
            raise Fault(410, f"Image {image['id']} was deleted during its upload.")
        resp.status = 204

    def _begin(self, req: falcon.Request, image_id: str) -> records.Image:
        with self._store.read() as conn:
            image = records.find_own(conn, caller_of(req), image_id)
        for name in ("disk_format", "container_format"):
            if image[name] is None:
                raise Fault(400, f"Property {name} must be set prior to saving data.")
        if not self._change(image["id"], "queued", {"status": "saving"}):
            raise Fault(409, f"Image status transition from {image['status']} is not allowed.")
        return image

    def _change(self, image_id: str, status: str, values: dict[str, Any]) -> bool:
        """Set values of an image in `status`; False when it is in another."""
        i = tables.images.c
        with self._store.write() as conn:
            changed = conn.execute(
                update(tables.images)
                .where(i.id == image_id, i.status == status)
                .values(**values, updated_at=records.stamp(self._clock.now()))
            ).rowcount
        return bool(changed)

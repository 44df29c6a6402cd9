# SPDX-License-Identifier: Apache-2.0
"""Volumes as sparse raw files below one folder, for hosts that see it: this one, or all that share
its file system.

Files appear whole: they are written under another name, which each attempt chooses anew, and then
renamed. So a process that was killed, or a converter that outlived it, spoils nothing.
"""

import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import image_check
from common.errors import DiskFull, ImageUnacceptable
from services.companion.volume import sparse
from services.companion.volume.backend import Backend, Capacity, ImageData
from services.companion.volume.jobs import WorkFailed

LOG = logging.getLogger(__name__)

_PART = ".part-"
_AS_THEY_ARE = ("raw", "iso")
_COPIES = 5
# The time stamps of files advance by this much at least.
_TICK_NS = 20_000_000
_GIB = 1 << 30


class LocalFiles(Backend):
    """The folder."""

    driver_volume_type = "local"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # QEMU may run as another user: it must pass through, but not list.
        folder.chmod(0o711)

    def path(self, name: str) -> Path:
        """The file of a volume or snapshot."""
        return self._folder / name

    def create(self, name: str, size: int) -> None:
        with self._part(name) as part:
            sparse.create(part, size)

    def write_image(
        self, name: str, size: int, image: ImageData, stopping: threading.Event
    ) -> None:
        with self._part(name) as part:
            try:
                virtual_size = _check(image)
                if virtual_size > size:
                    raise WorkFailed(
                        f"image {image.image_id} holds a disk of {_gib(virtual_size)} GiB, which "
                        f"does not fit into {_gib(size)} GiB"
                    )
                if image.disk_format in _AS_THEY_ARE:
                    _copy(image.path, part, stopping)
                else:
                    image_check.convert(image.path, image.disk_format, part, image.image_id, "raw")
            except (ImageUnacceptable, DiskFull) as refused:
                raise WorkFailed(str(refused)) from refused
            except FileNotFoundError as gone:
                raise WorkFailed(f"image {image.image_id} has no data any more") from gone
            os.truncate(part, size)

    def copy(self, source: str, name: str, size: int, stopping: threading.Event) -> None:
        with self._part(name) as part:
            try:
                self._copy_of_one_moment(self.path(source), part, stopping)
            except FileNotFoundError as gone:
                raise WorkFailed(f"there is no data of {source} any more") from gone
            os.truncate(part, size)

    def extend(self, name: str, size: int) -> None:
        try:
            if self.path(name).stat().st_size < size:
                os.truncate(self.path(name), size)
        except OSError as failed:
            raise WorkFailed(_reason(failed)) from failed

    def remove(self, name: str) -> None:
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as failed:
            raise WorkFailed(_reason(failed)) from failed

    @contextmanager
    def exported(self, name: str, disk_format: str, stopping: threading.Event) -> Iterator[Path]:
        if disk_format == "raw":
            yield self.path(name)
            return
        _needs_qemu_img(disk_format)
        part = self._new_part(name)
        try:
            image_check.convert(self.path(name), "raw", part, name, disk_format)
            yield part
        except (ImageUnacceptable, DiskFull) as failed:
            raise WorkFailed(str(failed)) from failed
        finally:
            part.unlink(missing_ok=True)

    def connection(self, name: str, connector: dict[str, Any]) -> dict[str, Any]:
        return {"device_path": str(self.path(name).absolute()), "discard": True}

    def disconnect(self, name: str, connector: dict[str, Any]) -> None:
        pass  # a file is nobody's in particular

    def capacity(self) -> Capacity:
        room = os.statvfs(self._folder)
        return Capacity(room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize)

    def unknown(self, known: set[str]) -> Iterator[str]:
        for path in self._folder.iterdir():
            if path.name.startswith(_PART):
                path.unlink(missing_ok=True)
            elif path.name not in known:
                yield str(path)

    @contextmanager
    def _part(self, name: str) -> Iterator[Path]:
        """A file that takes the name once it is written, and is gone when it is not."""
        part = self._new_part(name)
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(self.path(name))
        except OSError as failed:
            raise WorkFailed(_reason(failed)) from failed
        finally:
            part.unlink(missing_ok=True)

    def _new_part(self, name: str) -> Path:
        try:
            number, path = tempfile.mkstemp(prefix=f"{_PART}{name}-", dir=self._folder)
        except OSError as failed:
            raise WorkFailed(_reason(failed)) from failed
        os.close(number)
        return Path(path)

    def _copy_of_one_moment(self, source: Path, part: Path, stopping: threading.Event) -> None:
        """Copy until nothing was written meanwhile. Raises: WorkFailed."""
        for _ in range(_COPIES):
            rests = _rests(source) or (not stopping.wait(_TICK_NS / 1e9) and _rests(source))
            before = source.stat().st_mtime_ns
            at_once = _copy(source, part, stopping)
            if at_once or (rests and source.stat().st_mtime_ns == before):
                return
        raise WorkFailed(
            "the volume is written to all the time, and the file system cannot copy it at once: "
            "detach it or stop its server, and try again"
        )


def _rests(path: Path) -> bool:
    """Whether the last write is so long ago that another one would show in the time stamp."""
    return abs(time.time_ns() - path.stat().st_mtime_ns) > _TICK_NS


def _copy(source: Path, target: Path, stopping: threading.Event) -> bool:
    with source.open("rb") as reading, target.open("wb") as writing:
        return sparse.copy(reading.fileno(), writing.fileno(), stopping)


def _check(image: ImageData) -> int:
    """The size of the image's disk. Raises: ImageUnacceptable, WorkFailed."""
    if image.disk_format in _AS_THEY_ARE:
        found = image_check.sniff(image.path)
        if found not in _AS_THEY_ARE:
            raise WorkFailed(
                f"image {image.image_id} is declared as {image.disk_format} but its content is "
                f"{found}"
            )
        return image.path.stat().st_size
    _needs_qemu_img(image.disk_format)
    return image_check.check(image.path, image.image_id, image.disk_format).virtual_size


def _needs_qemu_img(disk_format: str) -> None:
    if shutil.which("qemu-img") is None:
        raise WorkFailed(f"qemu-img is not installed, without which {disk_format} is unknown here")


def _gib(size: int) -> str:
    return f"{size / _GIB:.3g}"


def _reason(failed: OSError) -> str:
    if failed.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "there is no room left for the data"
    return os.strerror(failed.errno or errno.EIO)

# SPDX-License-Identifier: Apache-2.0
"""The image cache: each image is downloaded, checked and converted once a host.

A cached image is `<id>.raw` or `<id>.qcow2`, and `<id>.json` that describes it; the description is
written last, so an image without one is as good as absent. Overlays of running guests refer to
these files: they are never changed, and removed only when no guest uses them.
"""

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from common.errors import DiskFull, ImageUnacceptable
from common.objects.image import ImageMeta
from services.compute import image_check

LOG = logging.getLogger(__name__)

GIB = 1 << 30
_WAIT_SLICE_S = 0.2


class ImageSource(Protocol):
    """Where images come from: the image service's client."""

    def download(self, image_id: str) -> Iterator[bytes]:
        """The image's bytes. Raises: ImageNotFound, Unavailable."""


class CachedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this host's disk; `virtual_size` in bytes."""

    image_id: str
    file_name: str
    format: str
    virtual_size: int


class ImageCache:
    """Images in `folder`. `most_bytes` bounds a download, whatever the image service says."""

    def __init__(
        self,
        folder: Path,
        source: ImageSource,
        *,
        most_bytes: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._source = source
        self._most_bytes = most_bytes
        self._now = now
        self._lock = threading.Lock()
        self._in_work: dict[str, threading.Lock] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for abandoned in (*folder.glob("*.part"), *folder.glob("*.new")):
            abandoned.unlink(missing_ok=True)  # of a process that was killed

    def path(self, image: CachedImage) -> Path:
        """Where the image's disk is."""
        return self._folder / image.file_name

    def fetch(
        self, image: ImageMeta, *, disk_gib: int, checkpoint: Callable[[], None]
    ) -> CachedImage:
        """The image, downloaded unless it is here. `disk_gib`: size of its disk, 0 for any.

        Boots of one image at the same time wait for the first one's download.
        Raises: ImageNotFound, ImageUnacceptable, DiskFull, Unavailable, OperationCancelled.
        """
        if image.status != "active":
            raise ImageUnacceptable(image=image.id, reason=f"its status is {image.status}")
        with self._alone(image.id, checkpoint):
            cached = self._look_up(image.id) or self._download(image, checkpoint)
            os.utime(self.path(cached))
        if disk_gib and cached.virtual_size > disk_gib * GIB:
            needed = -(-cached.virtual_size // GIB)
            reason = f"it needs a disk of {needed} GiB and the flavor gives {disk_gib} GiB"
            raise ImageUnacceptable(image=image.id, reason=reason)
        return cached

    def prune(self, in_use: Callable[[], Collection[str]], *, keep_s: float) -> None:
        """Remove images that nobody has used for `keep_s` seconds and `in_use` does not name."""
        for description in self._folder.glob("*.json"):
            image_id = description.stem
            with self._alone(image_id, lambda: None):
                cached = self._look_up(image_id)
                if cached is None:
                    continue
                idle_s = self._now() - self.path(cached).stat().st_mtime
                if idle_s <= keep_s or image_id in in_use():
                    continue
                description.unlink()  # first: what has no description is not there
                self.path(cached).unlink(missing_ok=True)
                LOG.info("Removed cached image %s, unused for %d s", image_id, idle_s)

    @contextlib.contextmanager
    def _alone(self, image_id: str, checkpoint: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            lock = self._in_work.setdefault(image_id, threading.Lock())
        while not lock.acquire(timeout=_WAIT_SLICE_S):
            checkpoint()
        try:
            yield
        finally:
            lock.release()

    def _look_up(self, image_id: str) -> CachedImage | None:
        try:
            text = (self._folder / f"{image_id}.json").read_bytes()
            cached = msgspec.json.decode(text, type=CachedImage)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return cached if self.path(cached).exists() else None

    def _download(self, image: ImageMeta, checkpoint: Callable[[], None]) -> CachedImage:
        started = time.monotonic()
        part = self._folder / f"{image.id}.part"
        try:
            self._receive(image, part, checkpoint)
            checkpoint()
            found = image_check.check(part, image.id, image.disk_format)
            disk_format = found.format
            if disk_format not in ("raw", "qcow2"):
                converted = self._folder / f"{image.id}.converted.part"
                image_check.convert(part, disk_format, converted, image.id)
                converted.replace(part)
                disk_format = "qcow2"
            cached = CachedImage(
                image_id=image.id,
                file_name=f"{image.id}.{disk_format}",
                format=disk_format,
                virtual_size=found.virtual_size,
            )
            part.replace(self.path(cached))
            self._describe(cached)
        finally:
            for rest in self._folder.glob(f"{image.id}.*part"):
                rest.unlink()
        took_s = time.monotonic() - started
        size_mib = self.path(cached).stat().st_size >> 20
        LOG.info("Image %s (%d MiB) is cached after %.1f s", image.id, size_mib, took_s)
        return cached

    def _describe(self, cached: CachedImage) -> None:
        fresh = self._folder / f"{cached.image_id}.new"
        fresh.write_bytes(msgspec.json.encode(cached))
        fresh.replace(self._folder / f"{cached.image_id}.json")

    def _receive(self, image: ImageMeta, part: Path, checkpoint: Callable[[], None]) -> None:
        """Write the image's bytes, none more than were announced, and compare their digest."""
        algorithm, expected = _digest_of(image)
        digest = hashlib.new(algorithm) if algorithm else None
        most = min(self._most_bytes, self._most_bytes if image.size is None else image.size)
        self._check_room(image)
        received = 0
        with part.open("wb") as file, _full_disk_is_said(image.id, part):
            for chunk in self._source.download(image.id):
                checkpoint()
                received += len(chunk)
                if received > most:
                    _refuse(image.id, f"it is larger than {most} bytes, which it may have at most")
                if digest:
                    digest.update(chunk)
                file.write(chunk)
        if image.size is not None and received != image.size:
            _refuse(image.id, f"{received} of its {image.size} bytes were received")
        if digest and digest.hexdigest() != expected:
            _refuse(image.id, f"its content does not match its {algorithm} checksum")

    def _check_room(self, image: ImageMeta) -> None:
        free = os.statvfs(self._folder)
        free_bytes = free.f_bavail * free.f_frsize
        if image.size is not None and image.size > free_bytes:
            raise DiskFull(
                what=f"image {image.id}", free_mib=free_bytes >> 20, need_mib=image.size >> 20
            )


def _digest_of(image: ImageMeta) -> tuple[str | None, str | None]:
    """The digest to compare with: the strong one where this host can compute it, else MD5."""
    if image.hash_algo in hashlib.algorithms_available and image.hash_value:
        return image.hash_algo, image.hash_value
    return ("md5", image.checksum) if image.checksum else (None, None)


@contextlib.contextmanager
def _full_disk_is_said(image_id: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failed:
        if failed.errno != 28:
            raise
        raise DiskFull(
            what=f"image {image_id}", free_mib=0, need_mib=path.stat().st_size >> 20
        ) from failed


def _refuse(image_id: str, reason: str) -> Any:
    raise ImageUnacceptable(image=image_id, reason=reason)

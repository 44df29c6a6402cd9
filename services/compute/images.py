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

from common import image_check
from common.errors import ImageUnacceptable, Unavailable
from common.image_check import ImageFile
from common.objects.image import ImageMeta
from common.space import disk_full, free_bytes, full_disk_is_said

LOG = logging.getLogger(__name__)

GIB = 1 << 30
_WAIT_SLICE_S = 0.2
_DOWNLOADS = 3


class ImageSource(Protocol):
    """Where images come from: the image service's client."""

    def download(self, image_id: str) -> Iterator[bytes]:
        """The image's bytes. Raises: ImageNotFound, Unavailable."""


class CachedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image on this host's disk; `virtual_size` and `file_bytes` in bytes, the latter 0 where it
    was not written down."""

    image_id: str
    file_name: str
    format: str
    virtual_size: int
    file_bytes: int = 0


class ImageCache:
    """Images in `folder`. `most_bytes` bounds a download, whatever the image service says.

    One that breaks off is begun anew after `pause_s` seconds, twice.
    """

    def __init__(
        self,
        folder: Path,
        source: ImageSource,
        *,
        most_bytes: int,
        now: Callable[[], float] = time.time,
        pause_s: float = 2,
    ) -> None:
        self._folder = folder
        self._source = source
        self._most_bytes = most_bytes
        self._now = now
        self._pause_s = pause_s
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
            cached = self.find(image.id) or self._download(image, disk_gib, checkpoint)
            os.utime(self.path(cached))
        _check_fits(image.id, cached.virtual_size, disk_gib)
        return cached

    def adopt(
        self, image: CachedImage, bring: Callable[[Path], None], checkpoint: Callable[[], None]
    ) -> CachedImage:
        """The image as another host has cached it, unless it is here; `bring` writes a copy.

        For images that the image service has no more. Its header is looked at all the same.
        Raises: what `bring` raises, ImageUnacceptable, OperationCancelled.
        """
        with self._alone(image.image_id, checkpoint):
            found = self.find(image.image_id)
            if found is None:
                part = self._folder / f"{image.image_id}.part"
                try:
                    bring(part)
                    image_check.check(part, image.image_id, image.format)
                    found = msgspec.structs.replace(
                        image, file_name=f"{image.image_id}.{image.format}"
                    )
                    found = self._keep(part, found)
                finally:
                    part.unlink(missing_ok=True)
                LOG.info("Image %s is cached, from another host's cache", image.image_id)
            os.utime(self.path(found))
            return found

    def prune(self, in_use: Callable[[], Collection[str]], *, keep_s: float) -> None:
        """Remove images that nobody has used for `keep_s` seconds and `in_use` does not name."""
        for description in self._folder.glob("*.json"):
            image_id = description.stem
            with self._alone(image_id, lambda: None):
                cached = self.find(image_id)
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

    def find(self, image_id: str) -> CachedImage | None:
        """The image if it is here."""
        try:
            text = (self._folder / f"{image_id}.json").read_bytes()
            cached = msgspec.json.decode(text, type=CachedImage)
            found_bytes = self.path(cached).stat().st_size
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        if cached.file_bytes not in (0, found_bytes):
            LOG.error(
                "Cached image %s has %d of its %d bytes; it is fetched anew for the next guest",
                image_id,
                found_bytes,
                cached.file_bytes,
            )
            return None
        return cached

    def _download(
        self, image: ImageMeta, disk_gib: int, checkpoint: Callable[[], None]
    ) -> CachedImage:
        started = time.monotonic()
        part = self._folder / f"{image.id}.part"
        try:
            self._receive(image, part, checkpoint)
            checkpoint()
            found = _look(part, image)
            disk_format = found.format
            if disk_format not in ("raw", "qcow2"):
                # First: a small file can hold a disk that this host has no room for.
                most_gib = disk_gib or self._most_bytes // GIB
                _check_fits(image.id, found.virtual_size, most_gib)
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
            cached = self._keep(part, cached)
        finally:
            for rest in self._folder.glob(f"{image.id}.*part"):
                rest.unlink()
        took_s = time.monotonic() - started
        size_mib = self.path(cached).stat().st_size >> 20
        LOG.info("Image %s (%d MiB) is cached after %.1f s", image.id, size_mib, took_s)
        return cached

    def _keep(self, part: Path, image: CachedImage) -> CachedImage:
        """Put it into the cache: on the disk before its description, whatever happens between."""
        with part.open("rb") as file:
            os.fsync(file.fileno())
        cached = msgspec.structs.replace(image, file_bytes=part.stat().st_size)
        part.replace(self.path(cached))
        fresh = self._folder / f"{cached.image_id}.new"
        fresh.write_bytes(msgspec.json.encode(cached))
        fresh.replace(self._folder / f"{cached.image_id}.json")
        return cached

    def _receive(self, image: ImageMeta, part: Path, checkpoint: Callable[[], None]) -> None:
        for left in reversed(range(_DOWNLOADS)):
            try:
                self._receive_once(image, part, checkpoint)
            except Unavailable as away:
                if not left:
                    raise
                LOG.warning("Image %s is asked for again: %s", image.id, away)
            else:
                return
            go_on_at = time.monotonic() + self._pause_s
            while time.monotonic() < go_on_at:
                checkpoint()
                time.sleep(_WAIT_SLICE_S)

    def _receive_once(self, image: ImageMeta, part: Path, checkpoint: Callable[[], None]) -> None:
        """Write the image's bytes, none more than were announced, and compare their digest."""
        algorithm, expected = _digest_of(image)
        digest = hashlib.new(algorithm) if algorithm else None
        announced = self._most_bytes if image.size is None else image.size
        if announced > self._most_bytes:
            most_gib = self._most_bytes // GIB
            _refuse(image.id, f"it is larger than {most_gib} GiB, the most that hosts download")
        most = min(self._most_bytes, announced)
        self._check_room(image)
        received = 0
        needs = image.size or 0
        with (
            full_disk_is_said(f"image {image.id}", self._folder, needs),
            part.open("wb") as file,
        ):
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
        if image.size is not None and image.size > free_bytes(self._folder):
            raise disk_full(f"image {image.id}", self._folder, image.size)


def _look(part: Path, image: ImageMeta) -> ImageFile:
    if image.disk_format == "iso":
        return image_check.check_cd(part, image.id)
    return image_check.check(part, image.id, image.disk_format)


def _check_fits(image_id: str, virtual_size: int, disk_gib: int) -> None:
    """Raises: ImageUnacceptable, for one that needs more disk than there is (0: any)."""
    if disk_gib and virtual_size > disk_gib * GIB:
        needed = -(-virtual_size // GIB)
        reason = f"it needs a disk of {needed} GiB and the flavor gives {disk_gib} GiB"
        raise ImageUnacceptable(image=image_id, reason=reason)


def _digest_of(image: ImageMeta) -> tuple[str | None, str | None]:
    """The digest to compare with: the strong one where this host can compute it, else MD5."""
    if image.hash_algo in hashlib.algorithms_available and image.hash_value:
        return image.hash_algo, image.hash_value
    return ("md5", image.checksum) if image.checksum else (None, None)


def _refuse(image_id: str, reason: str) -> Any:
    raise ImageUnacceptable(image=image_id, reason=reason)

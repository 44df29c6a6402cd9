# SPDX-License-Identifier: Apache-2.0
"""Snapshots on their way from a host's disk to the image service."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from common.errors import HypervisorError
from common.objects.image import ImageMeta

LOG = logging.getLogger(__name__)


class ImageTarget(Protocol):
    """Where snapshots go: the image service's client."""

    def get(self, image_id: str) -> ImageMeta:
        """Raises: ImageNotFound, Unavailable."""

    def upload(self, image_id: str, data: IO[bytes] | io.RawIOBase) -> None:
        """Raises: ImageNotFound, Unavailable, Refused."""


class Uploads:
    """Sends files to the image service."""

    def __init__(self, images: ImageTarget) -> None:
        self._images = images

    def send(self, image_id: str, path: Path, checkpoint: Callable[[], None]) -> None:
        """Give the image what the file has. Again: an image that has its data is left alone.

        Raises: ImageNotFound (deleted meanwhile), Unavailable, Refused, OperationCancelled,
        HypervisorError (the file is gone).
        """
        if self._images.get(image_id).status == "active":
            return
        try:
            with path.open("rb", buffering=0) as file:
                self._images.upload(image_id, _Checked(file, checkpoint))
        except FileNotFoundError as gone:
            raise HypervisorError(reason=f"the snapshot for image {image_id} is gone") from gone
        LOG.info("Image %s has its %d MiB", image_id, path.stat().st_size >> 20)


class _Checked(io.RawIOBase):
    """A file that asks `checkpoint` before each read, so that a long upload can be given up."""

    def __init__(self, file: io.FileIO, checkpoint: Callable[[], None]) -> None:
        self._file = file
        self._checkpoint = checkpoint

    def read(self, size: int = -1) -> bytes | None:
        self._checkpoint()
        return self._file.read(size)

    def fileno(self) -> int:
        return self._file.fileno()

    def tell(self) -> int:
        return self._file.tell()

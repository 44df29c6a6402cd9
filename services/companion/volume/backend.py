# SPDX-License-Identifier: Apache-2.0
"""Where the data of volumes and snapshots is: the only door to storage.

Today that is `local_files`. Another kind (logical volumes with iSCSI, say) is one more class here
and one choice in `routes`. A backend knows no store, no project and no status: what it is given is
a name (`volume-<id>`, `snapshot-<id>`) and sizes in bytes. Its methods block; the threads of `jobs`
call them, but for `connection` and `disconnect`, which requests call and which must be quick.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ImageData:
    """An image's data as a file, and what it is."""

    image_id: str
    path: Path
    disk_format: str


@dataclass(frozen=True)
class Capacity:
    """Room in bytes."""

    total: int
    free: int


class Backend(ABC):
    """What storage owes the Block Storage API."""

    driver_volume_type: str
    """How a compute host reaches a volume, in os-brick's words."""

    @abstractmethod
    def create(self, name: str, size: int) -> None:
        """A volume of zeros. Again: it is empty once more. Raises: WorkFailed."""

    @abstractmethod
    def write_image(
        self, name: str, size: int, image: ImageData, stopping: threading.Event
    ) -> None:
        """A volume that begins with the image's disk; what was there is gone.

        Again: from the beginning. Raises: WorkFailed (also for an image that is unsafe, corrupt or
        too large); Interrupted.
        """

    @abstractmethod
    def copy(self, source: str, name: str, size: int, stopping: threading.Event) -> None:
        """A copy of a volume or snapshot as it was at one moment, zeros up to `size` behind it.

        Again: from the beginning, as it is then. Raises: WorkFailed (also when the source does not
        hold still); Interrupted.
        """

    @abstractmethod
    def extend(self, name: str, size: int) -> None:
        """Let it have `size` bytes, also while it is in use. Again: nothing. Raises: WorkFailed."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget the data. Again: nothing. Raises: WorkFailed."""

    @abstractmethod
    def exported(
        self, name: str, disk_format: str, stopping: threading.Event
    ) -> AbstractContextManager[Path]:
        """The data as a file of this format, for as long as the context lasts.

        Raises: WorkFailed, Interrupted.
        """

    @abstractmethod
    def connection(self, name: str, connector: dict[str, Any]) -> dict[str, Any]:
        """The `data` with which a host that has this connector reaches the volume. Again: equal."""

    @abstractmethod
    def disconnect(self, name: str, connector: dict[str, Any]) -> None:
        """The host does not reach it any more. Again: nothing."""

    @abstractmethod
    def capacity(self) -> Capacity:
        """How much room there is."""

    @abstractmethod
    def unknown(self, known: set[str]) -> Iterator[str]:
        """Clear away what cut-off work left; names of data that belongs to nothing `known`."""

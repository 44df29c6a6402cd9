# SPDX-License-Identifier: Apache-2.0
"""One disk of a new server, as somebody asked for it."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from common.errors import Invalid

SWAP = "swap"
VOLUME, LOCAL = "volume", "local"
IMAGE, SNAPSHOT, BLANK = "image", "snapshot", "blank"
_DEV = "/dev/"


class InvalidBlockDevices(Invalid):
    """What is said of disks makes no sense, alone or together."""

    message = "Block Device Mapping is Invalid: {reason}"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk: where its content comes from (`source`, `id`) and where it lives (`destination`).

    `size` in GiB, that of a swap disk in MiB; None: as large as its source, or as the flavor says.
    `boot_index` None: the guest never boots from it. `no_device`: one with this name is not wanted.
    """

    source: str = BLANK
    destination: str = LOCAL
    id: str | None = None
    size: int | None = None
    boot_index: int | None = None
    device_name: str | None = None
    guest_format: str | None = None
    disk_bus: str | None = None
    device_type: str | None = None
    delete_on_termination: bool = False
    tag: str | None = None
    volume_type: str | None = None
    no_device: bool = False

    @property
    def is_root(self) -> bool:
        """Whether the guest boots from it first."""
        return self.boot_index == 0

    @property
    def is_volume(self) -> bool:
        """Whether it lives in the volume service."""
        return self.destination == VOLUME

    @property
    def is_swap(self) -> bool:
        """Whether the guest swaps to it."""
        return self.guest_format == SWAP

    @property
    def short_name(self) -> str | None:
        """Its device name without the directory."""
        return short(self.device_name)


def short(device_name: str | None) -> str | None:
    """A device name without the directory."""
    return device_name.removeprefix(_DEV) if device_name else None


def with_root(disks: Iterable[Disk], name: str) -> list[Disk]:
    """Disks of the first form, where the guest boots from the one with the short name `name`."""
    return [
        dataclasses.replace(disk, boot_index=0)
        if disk.source != BLANK and disk.short_name == name
        else disk
        for disk in disks
    ]

# SPDX-License-Identifier: Apache-2.0
"""BlockDeviceMapping: one disk of an instance."""

from typing import Any

from common.objects.versioned import Versioned


class BlockDeviceMapping(Versioned, frozen=True, kw_only=True):
    """A disk: where its content comes from (`source`) and where it lives (`destination`).

    `source` is image, blank, snapshot or volume; `destination` local or volume. Sizes in GiB.
    A swap disk (`guest_format` swap) is so small that it has its size in MiB, `size_mib`.
    `boot_index` 0 is the disk that the guest boots from, None one that it never does.

    Of a volume: `attachment_id` is its attachment for this instance in the volume service, and
    `connection` how the host reaches it, as the volume service said (it may hold secrets); None
    while it is reserved for an instance that is on no host.
    """

    uuid: str
    source: str = "image"
    destination: str = "local"
    boot_index: int | None = 0
    image_id: str | None = None
    snapshot_id: str | None = None
    volume_id: str | None = None
    volume_type: str | None = None
    size_gib: int = 0
    size_mib: int = 0
    guest_format: str | None = None
    device_name: str | None = None
    disk_bus: str | None = None
    device_type: str = "disk"
    delete_on_termination: bool = True
    tag: str | None = None
    multiattach: bool = False
    attachment_id: str | None = None
    connection: dict[str, Any] | None = None

    @property
    def is_swap(self) -> bool:
        """Whether the guest swaps to it."""
        return self.guest_format == "swap"

    @property
    def is_volume(self) -> bool:
        """Whether it lives in the volume service."""
        return self.destination == "volume"

# SPDX-License-Identifier: Apache-2.0
"""BlockDeviceMapping: one disk of an instance."""

from common.objects.versioned import Versioned


class BlockDeviceMapping(Versioned, frozen=True, kw_only=True):
    """A disk: where its content comes from (`source`) and where it lives (`destination`).

    `source` is image, blank, snapshot or volume; `destination` local or volume. Sizes in GiB.
    """

    uuid: str
    source: str = "image"
    destination: str = "local"
    boot_index: int | None = 0
    image_id: str | None = None
    volume_id: str | None = None
    size_gib: int = 0
    guest_format: str | None = None
    device_name: str | None = None
    disk_bus: str | None = None
    device_type: str = "disk"
    delete_on_termination: bool = True
    tag: str | None = None

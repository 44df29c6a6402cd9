# SPDX-License-Identifier: Apache-2.0
"""ImageMeta: what kilonova needs to know of an image to boot from it."""

from common.objects.versioned import Versioned


class ImageMeta(Versioned, frozen=True, kw_only=True):
    """An image as the image service described it when the server was asked for.

    Sizes: `size` and `virtual_size` in bytes, `min_disk` in GiB, `min_ram` in MiB.
    `properties` holds the free properties (`hw_*`, `os_*`, `img_*`) as text.
    """

    id: str
    name: str | None = None
    status: str = "active"
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    hash_algo: str | None = None
    hash_value: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    owner: str | None = None
    visibility: str = "private"
    properties: dict[str, str] = {}

    @property
    def needs_config_drive(self) -> bool:
        """Whether its guests do not come up without a configuration drive."""
        return self.properties.get("img_config_drive", "").lower() == "mandatory"

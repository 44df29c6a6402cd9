# SPDX-License-Identifier: Apache-2.0
"""Whether an image fits a flavor, in the words that clients know."""

from common.errors import ImageUnacceptable, Invalid
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta

_GIB = 2**30
_DISABLED = "disabled"
_INT_PROPERTY_MOST = 2**31


def check_fit(
    image: ImageMeta,
    flavor: Flavor,
    *,
    disk_config: str | None = None,
    boots_from_volume: bool = False,
) -> None:
    """Refuse an image that cannot be booted with the flavor, or not with AUTO `disk_config`.

    A flavor with a root disk of 0 GiB takes the disk from the image; for what `boots_from_volume`
    the flavor's disk does not count.
    Raises: Invalid, ImageUnacceptable.
    """
    if image.status != "active":
        raise Invalid(f"Image {image.id} is not active.")
    if disk_config == "AUTO" and image.properties.get("auto_disk_config", "").lower() == _DISABLED:
        raise Invalid(f"Requested image {image.id} has automatic disk resize disabled.")
    if flavor.memory_mib < image.min_ram:
        raise Invalid("Flavor's memory is too small for requested image.")
    if image.min_disk > _INT_PROPERTY_MOST:
        raise ImageUnacceptable(image=image.id, reason=f"min_disk is {image.min_disk} GiB")
    if not flavor.root_gib or boots_from_volume:
        return
    have = flavor.root_gib * _GIB
    size = image.virtual_size or image.size or 0
    if size > have:
        raise Invalid(
            "Flavor's disk is too small for requested image. Flavor disk is "
            f"{have} bytes, image is {size} bytes."
        )
    if image.min_disk > flavor.root_gib:
        raise Invalid(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor "
            f"disk is {have} bytes, minimum size is {image.min_disk * _GIB} bytes."
        )

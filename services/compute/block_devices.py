# SPDX-License-Identifier: Apache-2.0
"""Which disks an instance has: what its block devices and its flavor ask for, put in order."""

from dataclasses import dataclass

from common.errors import NotSupported
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.instance import Instance

MIB_A_GIB = 1024
SWAP = "swap"
DEFAULT_FORMAT = "ext4"


@dataclass(frozen=True)
class BlankDisk:
    """A disk that starts empty: a file system or, with `guest_format` swap, swap space.

    `mapping` is the block device that asks for it; None: the flavor does.
    """

    size_mib: int
    guest_format: str = DEFAULT_FORMAT
    mapping: BlockDeviceMapping | None = None


def root_image(instance: Instance) -> ImageMeta | None:
    """The image that its root disk on this host is made of; None: it boots from a volume.

    Raises: NotSupported, when there is nothing to boot from.
    """
    if instance.is_volume_backed:
        return None
    if instance.image is None or not instance.image.id:
        raise NotSupported("The server has neither an image nor a volume to boot from.")
    return instance.image


def root(instance: Instance) -> BlockDeviceMapping | None:
    """The block device that it boots from; None where that is its image, without more words."""
    return next((d for d in instance.block_devices if d.boot_index == 0), None)


def volumes(instance: Instance) -> tuple[BlockDeviceMapping, ...]:
    """Its volumes, in order."""
    return tuple(d for d in instance.block_devices if d.is_volume and d.volume_id)


def ephemerals(instance: Instance) -> tuple[BlankDisk, ...]:
    """Its further disks: those that it names, or the flavor's one."""
    named = [d for d in _blank(instance) if not d.is_swap]
    flavors_mib = instance.flavor.ephemeral_gib * MIB_A_GIB
    if named:
        return tuple(
            BlankDisk(d.size_gib * MIB_A_GIB or flavors_mib, d.guest_format or DEFAULT_FORMAT, d)
            for d in named
        )
    return (BlankDisk(flavors_mib),) if flavors_mib else ()


def swap(instance: Instance) -> BlankDisk | None:
    """Its swap disk; None without one."""
    named = next((d for d in _blank(instance) if d.is_swap), None)
    size_mib = (named.size_mib if named else 0) or instance.flavor.swap_mib
    return BlankDisk(size_mib, SWAP, named) if size_mib else None


def _blank(instance: Instance) -> list[BlockDeviceMapping]:
    return [d for d in instance.block_devices if d.source == "blank" and not d.is_volume]

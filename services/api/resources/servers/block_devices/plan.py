# SPDX-License-Identifier: Apache-2.0
"""What disks a request and its image ask for together, and whether a guest can have them.

Nothing outside is asked. What only the flavor can tell (sizes of ephemeral and swap disks) is the
conductor's to check.
"""

import dataclasses
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from common.errors import Invalid, InvalidVolume
from common.objects.image import ImageMeta
from services.api.resources.servers.block_devices.disk import (
    BLANK,
    IMAGE,
    VOLUME,
    Disk,
    InvalidBlockDevices,
    with_root,
)
from services.api.resources.servers.block_devices.image_disks import disks_of, root_name
from services.api.resources.servers.block_devices.written import from_v1, from_v2

V1, V2 = "block_device_mapping", "block_device_mapping_v2"
# More can be neither named nor plugged in; each costs a look-up.
_MOST = 256
# Root disk, swap and one more: what a host is ready to make of its own disk for one server.
_MOST_LOCAL = 3
_NO_ORDER = (
    "Boot sequence for the instance and image/block device mapping combination is not valid."
)


def asks_for_disks(body: dict[str, Any]) -> bool:
    """Whether a request says anything of disks itself."""
    return bool(body.get(V1) or body.get(V2))


def planned(body: dict[str, Any], image: ImageMeta | None, *, servers: int) -> tuple[Disk, ...]:
    """The disks of each server but for the root disk that is made from `image` on a host's disk.

    Raises: Invalid, InvalidBlockDevices, InvalidVolume, ImageUnacceptable.
    """
    if body.get(V1) and body.get(V2):
        raise Invalid(
            "Using different block_device_mapping syntaxes is not allowed in the same request."
        )
    if len(body.get(V1) or body.get(V2) or ()) > _MOST:
        raise InvalidBlockDevices(reason=f"You specified more than {_MOST} devices.")
    brought = disks_of(image)
    if body.get(V2):
        written = [from_v2(entry, has_image=image is not None) for entry in body[V2]]
        disks = _second_form(written, brought, image)
    else:
        entries = (from_v1(entry) for entry in body.get(V1) or ())
        disks = _first_form([disk for disk in entries if disk], brought, image)
    wanted = [disk for disk in disks if not disk.no_device]
    _check_order(wanted)
    _check_alone(wanted)
    _check_together(wanted, servers=servers)
    return tuple(disk for disk in wanted if not _is_plain_root(disk))


def _second_form(
    written: list[Disk], brought: list[Disk], image: ImageMeta | None
) -> list[Disk]:  # fmt: skip
    if any(disk.is_root for disk in brought):
        # Clients name the image as root disk, too, when there is one. Its own root disk counts.
        written = [disk for disk in written if not (disk.is_root and disk.source == IMAGE)]
    for disk in written:
        if image and disk.is_volume and disk.short_name == root_name(image):
            raise InvalidVolume(
                reason="The volume cannot be assigned the same device name as the root device "
                f"{root_name(image)}"
            )
        if image and disk.is_root and not disk.is_volume and disk.id != image.id:
            raise InvalidBlockDevices(reason=_NO_ORDER)
    return _merged(written, brought)


def _first_form(written: list[Disk], brought: list[Disk], image: ImageMeta | None) -> list[Disk]:
    """The root disk is the one that has its name; without one it is the image's."""
    named = with_root(written, root_name(image))
    if any(disk.is_root for disk in named):
        brought = [dataclasses.replace(disk, boot_index=None) for disk in brought]
    disks = _merged(named, brought)
    if image and not any(disk.is_root for disk in disks):
        disks.insert(0, Disk(source=IMAGE, id=image.id, boot_index=0))
    return disks


def _merged(written: list[Disk], brought: list[Disk]) -> list[Disk]:
    """Of two with one name the written one."""
    names = {disk.short_name for disk in written if disk.device_name}
    return [*written, *(disk for disk in brought if disk.short_name not in names)]


def _check_order(disks: Sequence[Disk]) -> None:
    """Boot indexes count from 0 without a gap, and the first disk is one that can be booted."""
    order = sorted(disk.boot_index for disk in disks if disk.boot_index is not None)
    if not order or order != list(range(len(order))):
        raise InvalidBlockDevices(reason=_NO_ORDER)
    if any(disk.is_root and disk.source == BLANK and not disk.is_volume for disk in disks):
        raise InvalidBlockDevices(reason=_NO_ORDER)


def _check_alone(disks: Iterable[Disk]) -> None:
    """A new volume is as large as somebody says, or as what it is made from."""
    for disk in disks:
        if not disk.is_volume or disk.size:
            continue
        if disk.source == IMAGE:
            raise InvalidBlockDevices(
                "Images with destination_type 'volume' need to have a non-zero size specified"
            )
        if disk.source == BLANK:
            raise InvalidBlockDevices(
                "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"
            )


def _check_together(disks: Sequence[Disk], *, servers: int) -> None:
    if servers > 1 and any(disk.source == VOLUME for disk in disks):
        raise Invalid("Cannot attach one or more volumes to multiple instances")
    if sum(not disk.is_volume for disk in disks) > _MOST_LOCAL:
        raise InvalidBlockDevices(
            reason="You specified more local devices than the limit allows"
        )  # fmt: skip
    twice = _repeated(disk.id for disk in disks if disk.source == VOLUME)
    if twice is not None:
        raise InvalidBlockDevices(reason=f"Volume {twice} is named more than once.")
    twice = _repeated(disk.tag for disk in disks if disk.tag is not None)
    if twice is not None:
        raise InvalidBlockDevices(reason=f"Tag {twice} is given to more than one device.")


def _repeated(values: Iterable[Hashable]) -> Hashable | None:
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _is_plain_root(disk: Disk) -> bool:
    """Whether the conductor makes the same disk by itself, of the flavor's size."""
    says = (disk.disk_bus, disk.device_type, disk.tag)
    return disk.is_root and not disk.is_volume and not any(says)

# SPDX-License-Identifier: Apache-2.0
"""Disks as documents have them: in the first form, and in the second, which replaced it.

Documents have passed the schemas of `bodies`.
"""

import dataclasses
import re
from typing import Any

from services.api.declare.types import FALSE_WORDS, is_true
from services.api.resources.servers.block_devices.disk import (
    BLANK,
    IMAGE,
    LOCAL,
    SNAPSHOT,
    SWAP,
    VOLUME,
    Disk,
    InvalidBlockDevices,
)

_EPHEMERAL = re.compile(r"ephemeral\d{1,3}", re.ASCII)
_FORMAT = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_BUSES = frozenset(("fdc", "ide", "lxc", "sata", "scsi", "uml", "usb", "virtio", "xen"))
_DEVICE_TYPES = frozenset(("cdrom", "disk", "floppy", "fs", "lun"))
_MOST_DIGITS = 9
_NOT_SET = (None, "", *FALSE_WORDS)


def from_v1(entry: dict[str, Any]) -> Disk | None:
    """The disk of an entry of the first form; None for one that says nothing known.

    What the guest boots from is the name's to say, so not known here.
    """
    disk = Disk(
        device_name=entry.get("device_name") or None,
        size=_size(entry),
        delete_on_termination=is_true(entry.get("delete_on_termination", False)),
    )
    virtual = entry.get("virtual_name") or ""
    if virtual == SWAP or _EPHEMERAL.fullmatch(virtual):
        return dataclasses.replace(disk, guest_format=SWAP if virtual == SWAP else None)
    for source in (SNAPSHOT, VOLUME):
        named = entry.get(f"{source}_id")
        if named:
            return dataclasses.replace(disk, source=source, destination=VOLUME, id=named)
    return _unwanted(entry) if is_unwanted(entry) else None


def from_v2(entry: dict[str, Any], *, has_image: bool) -> Disk:
    """The disk of an entry of the second form. Raises: InvalidBlockDevices.

    `has_image`: whether the request names an image, which is what a root disk here is made from.
    """
    if is_unwanted(entry):
        return _unwanted(entry)
    source = entry.get("source_type")
    if source is None:
        raise InvalidBlockDevices(reason="Invalid source_type field.")
    named = entry.get("uuid") or None
    if source == BLANK and named:
        raise InvalidBlockDevices(reason="Invalid device UUID.")
    if source != BLANK and not named:
        raise InvalidBlockDevices(reason="Missing device UUID.")
    disk = Disk(
        source=source,
        destination=entry.get("destination_type")
        or (LOCAL if source in (BLANK, IMAGE) else VOLUME),
        id=named,
        size=_size(entry),
        boot_index=_boot_index(entry.get("boot_index")),
        device_name=entry.get("device_name") or None,
        guest_format=entry.get("guest_format") or None,
        disk_bus=entry.get("disk_bus") or None,
        device_type=entry.get("device_type") or None,
        delete_on_termination=is_true(entry.get("delete_on_termination", False)),
        tag=entry.get("tag"),
        volume_type=entry.get("volume_type") or None,
    )
    _check_kind(disk, has_image=has_image)
    _check_words(disk)
    return disk


def is_unwanted(entry: dict[str, Any]) -> bool:
    """Whether an entry only says which device is not wanted."""
    return entry.get("no_device") not in _NOT_SET


def _unwanted(entry: dict[str, Any]) -> Disk:
    return Disk(device_name=entry.get("device_name") or None, no_device=True)


def _size(entry: dict[str, Any]) -> int | None:
    size = entry.get("volume_size")
    return int(size) if size is not None else None


def _boot_index(index: Any) -> int | None:
    """None also for negative ones: both mean never. Raises: InvalidBlockDevices."""
    if isinstance(index, str) and len(index) > _MOST_DIGITS:
        raise InvalidBlockDevices(reason="Boot index is invalid.")
    if index is None or int(index) < 0:
        return None
    return int(index)


def _check_kind(disk: Disk, *, has_image: bool) -> None:
    """Not every source can be everywhere."""
    if disk.is_volume:
        if disk.volume_type and disk.source == VOLUME:
            raise InvalidBlockDevices(
                reason="Specifying a volume_type with source_type=volume is not supported."
            )
        return
    if disk.source in (VOLUME, SNAPSHOT) or (
        disk.source == IMAGE and not (has_image and disk.is_root)
    ):
        raise InvalidBlockDevices(reason=f"Mapping {disk.source} to local is not supported.")
    if disk.volume_type:
        raise InvalidBlockDevices(
            reason="Specifying a volume_type with destination_type=local is not supported."
        )


def _check_words(disk: Disk) -> None:
    """What a host will be told is known, or at least harmless."""
    if disk.disk_bus is not None and disk.disk_bus not in _BUSES:
        raise InvalidBlockDevices(reason=f"The provided disk bus {disk.disk_bus} is not valid.")
    if disk.device_type is not None and disk.device_type not in _DEVICE_TYPES:
        raise InvalidBlockDevices(
            reason=f"The provided device type {disk.device_type} is not valid."
        )
    if disk.guest_format is not None and not _FORMAT.fullmatch(disk.guest_format):
        raise InvalidBlockDevices(
            reason=f"The provided guest format {disk.guest_format} is not valid."
        )

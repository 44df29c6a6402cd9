# SPDX-License-Identifier: Apache-2.0
"""Which disks a guest is defined with: files of this host and connected volumes, put together."""

import dataclasses
from collections.abc import Mapping, Sequence

from common.errors import ImageUnacceptable
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from services.compute import block_devices
from services.compute.block_devices import BlankDisk
from services.compute.virt.libvirt.disks import RescueDrive
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec
from services.compute.volume_sources import VolumeSource

_RESCUE_DEVICES = ("disk", "cdrom", "floppy")


def compose(
    instance: Instance,
    local: Sequence[DiskSpec],
    sources: Mapping[str, VolumeSource],
    *,
    names: Mapping[str, str],
    rescue: RescueDrive | None,
) -> tuple[DiskSpec, ...]:
    """All disks of a guest: `local` ones, as they are on this host, and volumes at `sources`.

    `names` are those that volumes had so far, which they keep unless they are told another.
    `rescue`: the rescue disk comes beside all others, which stay what they are; without it, a
    rescue disk takes the place of the one that the guest boots from.
    """
    ephemerals = iter(block_devices.ephemerals(instance))
    found = []
    for disk in local:
        if disk.role == "ephemeral":
            found.append(_blank(disk, next(ephemerals, None)))
        elif disk.role == "swap":
            found.append(_blank(disk, block_devices.swap(instance)))
        elif disk.role == "root":
            found.append(_as_asked(_root(disk, instance.image), block_devices.root(instance)))
        else:
            found.append(disk)
    for mapping in block_devices.volumes(instance):
        volume_id = str(mapping.volume_id)
        if volume_id in sources:
            found.append(volume_disk(mapping, sources[volume_id], name=names.get(volume_id)))
    if any(disk.role == "rescue" for disk in found):
        found = [_in_rescue(disk, instance, rescue) for disk in found]
    # The one that it boots from is its first.
    return tuple(sorted(found, key=lambda disk: disk.boot_index != 0))


def volume_disk(
    mapping: BlockDeviceMapping, source: VolumeSource, *, name: str | None = None
) -> DiskSpec:
    """A connected volume as a guest's disk."""
    return DiskSpec(
        source.path,
        source.format,
        "volume",
        kind="share" if source.is_on_share else source.kind,
        network=source.network,
        device=mapping.device_type or "disk",
        bus=mapping.disk_bus,
        name=mapping.device_name or name,
        boot_index=_boot_index(mapping),
        serial=mapping.volume_id,
        read_only=source.is_read_only,
        shared=mapping.multiattach,
        discard=source.may_discard,
        limits=source.limits or None,
    )


def rescue_drive(image: ImageMeta) -> RescueDrive | None:
    """As what the image wants to come beside the server's own disks; None: in place of the first.

    Raises: ImageUnacceptable.
    """
    device, bus = image.properties.get("hw_rescue_device"), image.properties.get("hw_rescue_bus")
    if not device and not bus:
        return None
    device = (device or "disk").lower()
    if device not in _RESCUE_DEVICES:
        known = ", ".join(_RESCUE_DEVICES)
        reason = f"hw_rescue_device={device} is not supported; {known} are"
        raise ImageUnacceptable(image=image.id, reason=reason)
    return RescueDrive(device, bus or None)


def _root(disk: DiskSpec, image: ImageMeta | None) -> DiskSpec:
    is_cd = image is not None and image.disk_format == "iso"
    return dataclasses.replace(disk, boot_index=0, device="cdrom" if is_cd else "disk")


def _blank(disk: DiskSpec, blank: BlankDisk | None) -> DiskSpec:
    return _as_asked(disk, blank.mapping if blank else None)


def _as_asked(disk: DiskSpec, mapping: BlockDeviceMapping | None) -> DiskSpec:
    """A disk of this host, as its mapping, if any, wants it to be seen."""
    if mapping is None:
        return disk
    device = disk.device if disk.device == "cdrom" else mapping.device_type or "disk"
    return dataclasses.replace(disk, device=device, bus=mapping.disk_bus, name=mapping.device_name)


def _in_rescue(disk: DiskSpec, instance: Instance, drive: RescueDrive | None) -> DiskSpec:
    if disk.role == "rescue":
        if drive is not None:
            return dataclasses.replace(disk, device=drive.device, bus=drive.bus)
        root = block_devices.root(instance)
        return dataclasses.replace(disk, boot_index=0, name=root.device_name if root else None)
    if drive is None and disk.boot_index == 0:
        return dataclasses.replace(disk, boot_index=None, name=None)
    return disk


def _boot_index(mapping: BlockDeviceMapping) -> int | None:
    index = mapping.boot_index
    return None if index is None or index < 0 else index

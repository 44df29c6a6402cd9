# SPDX-License-Identifier: Apache-2.0
"""What planned disks name of other services, looked up with the caller's own token.

Existing volumes and snapshots, images that become volumes, types of volumes; and what is known of
the system on the disk that a server boots from, as if it were an image.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.errors import Invalid, SnapshotNotFound, VolumeNotFound
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.volume import Volume
from services.api.call import ApiCall
from services.api.lookups import Lookups
from services.api.resources.servers.block_devices.disk import (
    IMAGE,
    SNAPSHOT,
    VOLUME,
    Disk,
    InvalidBlockDevices,
)
from services.api.volume_gateway import VolumeGateway

_GIB = 2**30
_NAME = re.compile(r"(?:xvd|[a-z]d)[a-z]{1,3}", re.ASCII)
# What a volume remembers of its image's file says nothing of the guest.
_OF_THE_FILE = frozenset((
    "image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram",
    "size", "signature_verified",
))  # fmt: skip


class DiskLookups:
    """Turns planned disks into those that the conductor is asked for."""

    def __init__(self, lookups: Lookups, volumes: VolumeGateway) -> None:
        self._lookups = lookups
        self._volumes = volumes

    def found(
        self, call: ApiCall, disks: Sequence[Disk], image: ImageMeta | None
    ) -> tuple[tuple[BlockDeviceMapping, ...], ImageMeta | None]:
        """The disks, and what they boot: `image`, or what is known of the root disk's system.

        Without an image its id is empty: nobody else's word about a volume's image is taken.
        Raises: InvalidBlockDevices, InvalidVolume, Invalid, Unavailable.
        """
        if not disks:
            return (), image
        sources = _Sources(call, self._lookups, self._volumes)
        sources.check_types(disk.volume_type for disk in disks)
        devices = tuple(_device(disk, sources) for disk in disks)
        root = next((n for n, disk in enumerate(disks) if disk.is_root), None)
        if root is not None:
            image = image or _system_on(disks[root], sources)
            _check_size(devices[root], image)
        return devices, image


class _Sources:
    """What one request names; nothing is asked for twice."""

    def __init__(self, call: ApiCall, lookups: Lookups, volumes: VolumeGateway) -> None:
        self._call = call
        self._lookups = lookups
        self._gateway = volumes
        self._volumes: dict[str, Volume] = {}
        self._snapshots: dict[str, dict[str, Any]] = {}

    def volume(self, volume_id: str) -> Volume:
        """A volume that can be attached."""
        if volume_id not in self._volumes:
            try:
                self._volumes[volume_id] = self._gateway.attachable(self._call, volume_id)
            except VolumeNotFound as missing:
                raise _failed_to_get("volume", volume_id) from missing
        return self._volumes[volume_id]

    def snapshot(self, snapshot_id: str) -> Mapping[str, Any]:
        """A snapshot in the volume service's words."""
        if snapshot_id not in self._snapshots:
            missing = SnapshotNotFound(snapshot=snapshot_id)
            try:
                found = self._gateway.one(self._call, "snapshots", snapshot_id, missing)
            except SnapshotNotFound as error:
                raise _failed_to_get("snapshot", snapshot_id) from error
            self._snapshots[snapshot_id] = found
        return self._snapshots[snapshot_id]

    def volume_of(self, snapshot_id: str) -> Volume:
        """The volume that a snapshot is of, whatever uses it now."""
        volume_id = str(self.snapshot(snapshot_id)["volume_id"])
        try:
            return self._gateway.get(self._call, volume_id)
        except VolumeNotFound as missing:
            raise _failed_to_get("volume", volume_id) from missing

    def image(self, image_id: str) -> ImageMeta:
        """An image that can become a volume."""
        missing = _failed_to_get("image", image_id)
        found = self._lookups.image(self._call, image_id, missing=missing)
        assert found is not None
        return found

    def check_types(self, names: Iterable[str | None]) -> None:
        """Types of volumes must be there, by name or id. Raises: Invalid."""
        wanted = sorted({name for name in names if name})
        if not wanted:
            return
        found = self._gateway.ask(self._call, "GET", "/types")["volume_types"]
        known = {each[key] for each in found for key in ("id", "name")}
        for name in wanted:
            if name not in known:
                raise Invalid(f"Volume type {name} could not be found.")


def _failed_to_get(kind: str, item_id: str) -> InvalidBlockDevices:
    return InvalidBlockDevices(reason=f"failed to get {kind} {item_id}.")


def _device(disk: Disk, sources: _Sources) -> BlockDeviceMapping:
    size, multiattach = disk.size or 0, False
    if disk.source == VOLUME:
        volume = sources.volume(str(disk.id))
        size, multiattach = volume.size_gib, volume.multiattach
    elif disk.source == SNAPSHOT:
        size = size or int(sources.snapshot(str(disk.id))["size"])
    elif disk.source == IMAGE and disk.is_volume:
        sources.image(str(disk.id))
    return BlockDeviceMapping(
        uuid="",  # the conductor's to give
        source=disk.source,
        destination=disk.destination,
        boot_index=disk.boot_index,
        image_id=disk.id if disk.source == IMAGE else None,
        snapshot_id=disk.id if disk.source == SNAPSHOT else None,
        volume_id=disk.id if disk.source == VOLUME else None,
        volume_type=disk.volume_type,
        size_gib=0 if disk.is_swap else size,
        size_mib=size if disk.is_swap else 0,
        guest_format=disk.guest_format,
        device_name=_name(disk),
        disk_bus=disk.disk_bus,
        device_type=disk.device_type or "disk",
        delete_on_termination=disk.delete_on_termination or not disk.is_volume,
        tag=disk.tag,
        multiattach=multiattach,
    )


def _name(disk: Disk) -> str | None:
    """A name that a guest's disk can have; what else was written is no wish to heed."""
    name = disk.short_name
    return f"/dev/{name}" if name and _NAME.fullmatch(name) else None


def _system_on(root: Disk, sources: _Sources) -> ImageMeta | None:
    """What is known of the system that the guest boots; None for an empty disk."""
    if root.source == IMAGE:
        return sources.image(str(root.id))
    if root.source == VOLUME:
        volume = sources.volume(str(root.id))
    elif root.source == SNAPSHOT:
        volume = sources.volume_of(str(root.id))
    else:
        return None
    if not volume.bootable:
        raise InvalidBlockDevices(f"Block Device {volume.id} is not bootable.")
    known = volume.image_properties
    return ImageMeta(
        id="",
        min_ram=_whole(known.get("min_ram")),
        properties={key: value for key, value in known.items() if key not in _OF_THE_FILE},
    )


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else 0


def _check_size(root: BlockDeviceMapping, image: ImageMeta | None) -> None:
    """A new volume has room for what is to be on it. Raises: Invalid."""
    if image is None or root.volume_id or not root.is_volume or image.min_disk <= root.size_gib:
        return
    raise Invalid(
        "Volume is smaller than the minimum size specified in image metadata. Volume size is "
        f"{root.size_gib * _GIB} bytes, minimum size is {image.min_disk * _GIB} bytes."
    )

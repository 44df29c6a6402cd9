# SPDX-License-Identifier: Apache-2.0
"""The disks of new instances: checked against the flavor, named, tied to their volumes."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from common.errors import Invalid
from common.guest_hardware.disk_names import next_name, prefix_of
from common.ids import NewUuid
from common.objects.block_device import BlockDeviceMapping
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.new_server import NewServers


def disks_of(
    request: NewServers, flavor: Flavor, number: int, *, new_uuid: NewUuid
) -> tuple[BlockDeviceMapping, ...]:
    """The disks of the server `number` of a request, in the order of their names."""
    properties = request.image.properties if request.image else {}
    asked = list(request.block_devices)
    if all(disk.boot_index != 0 for disk in asked) and request.image is not None:
        root = BlockDeviceMapping(uuid="", image_id=request.image.id, size_gib=flavor.root_gib)
        asked.insert(0, root)
    made = iter(request.made_volumes[number] if request.made_volumes else ())
    owned = (
        msgspec.structs.replace(
            _sized(disk, flavor),
            uuid=new_uuid(),
            volume_id=next(made) if disk.is_volume and disk.volume_id is None else disk.volume_id,
        )
        for disk in asked
    )
    return _named(sorted(owned, key=_rank), flavor, properties)


def _sized(disk: BlockDeviceMapping, flavor: Flavor) -> BlockDeviceMapping:
    """A disk of the host with the flavor's size, where none was asked for."""
    if disk.is_volume or disk.size_gib or disk.size_mib:
        return disk
    if disk.is_swap:
        return msgspec.structs.replace(disk, size_mib=flavor.swap_mib)
    size_gib = flavor.root_gib if disk.source == "image" else flavor.ephemeral_gib
    return msgspec.structs.replace(disk, size_gib=size_gib)


def check_local_disks(disks: Iterable[BlockDeviceMapping], flavor: Flavor) -> None:
    """Refuse more local disk than the flavor has. Raises: Invalid."""
    blank = [disk for disk in disks if not disk.is_volume and disk.source == "blank"]
    swaps = [disk for disk in blank if disk.is_swap]
    if len(swaps) > 1:
        raise Invalid("More than one swap drive requested.")
    if any(disk.size_mib > flavor.swap_mib for disk in swaps):
        raise Invalid("Swap drive requested is larger than instance type allows.")
    if sum(disk.size_gib for disk in blank if not disk.is_swap) > flavor.ephemeral_gib:
        raise Invalid("Ephemeral disks requested are larger than the instance type allows.")


def _named(
    disks: Sequence[BlockDeviceMapping], flavor: Flavor, image_properties: Mapping[str, str]
) -> tuple[BlockDeviceMapping, ...]:
    """Disks with a device name each: the one that was asked for, where that fits its bus.

    Names are left out for the disks that the flavor gives by itself, behind the root disk.
    """
    taken: set[str] = set()
    found = []
    for number, disk in enumerate(disks):
        name = device_name(disk, image_properties, taken)
        taken.add(name)
        found.append(msgspec.structs.replace(disk, device_name=name))
        if number == 0:
            taken |= _names_by_flavor(disks, flavor, image_properties, taken)
    return tuple(found)


def names_of(instance: Instance) -> set[str]:
    """Device names that a further disk of the instance cannot have."""
    disks = instance.block_devices
    taken = {disk.device_name for disk in disks if disk.device_name}
    properties = instance.image.properties if instance.image else {}
    return taken | _names_by_flavor(disks, instance.flavor, properties, taken)


def _names_by_flavor(
    disks: Sequence[BlockDeviceMapping],
    flavor: Flavor,
    image_properties: Mapping[str, str],
    taken: Collection[str],
) -> set[str]:
    """Names of the disks that the flavor gives by itself: those that nobody asked for."""
    blank = [disk for disk in disks if disk.source == "blank" and not disk.is_volume]
    count = int(bool(flavor.ephemeral_gib) and all(disk.is_swap for disk in blank))
    count += int(bool(flavor.swap_mib) and not any(disk.is_swap for disk in blank))
    prefix, names = prefix_of(None, image_properties), set[str]()
    for _ in range(count):
        names.add(next_name(prefix, names | set(taken)))
    return names


def device_name(
    disk: BlockDeviceMapping, image_properties: Mapping[str, str], taken: Collection[str]
) -> str:
    """A name that nobody has, on the disk's bus."""
    prefix = prefix_of(disk.disk_bus, image_properties)
    wanted = disk.device_name or ""
    if wanted.startswith(f"/dev/{prefix}") and wanted not in taken:
        return wanted
    return next_name(prefix, taken)


def _rank(disk: BlockDeviceMapping) -> int:
    """The disk that it boots from first; guests see the host's own disks before volumes."""
    if disk.boot_index == 0:
        return 0
    return 2 if disk.is_volume else 1

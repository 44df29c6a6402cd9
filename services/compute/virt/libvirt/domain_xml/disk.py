# SPDX-License-Identifier: Apache-2.0
"""Disks of a domain definition."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from common.errors import HypervisorError
from common.guest_hardware.disk_names import letters_of, place_of
from services.compute.virt.libvirt.domain_xml.disk_names import bus_of, name_disks
from services.compute.virt.libvirt.domain_xml.spec import (
    DiskSpec,
    DomainSpec,
    Hardware,
    Platform,
)
from services.compute.volume_sources import NetworkSource

# Other hosts write to what they share with this one: no cache of this host may hold it back.
_CACHES = {"share": "none", "block": "none", "network": "writeback"}
_WITHOUT_CACHE = ("none", "directsync")
_ELEMENT_TYPES = {"share": "file"}


def disks(spec: DomainSpec) -> list[ET.Element]:
    """The `<disk>` elements of a guest. Raises: HypervisorError."""
    dressed = [_as_drive(disk, spec.config_drive_format) for disk in spec.disks]
    buses = [bus_of(disk, spec.hardware) for disk in dressed]
    names = name_disks(dressed, buses)
    orders = boot_orders(dressed)
    return [
        disk_element(disk, name, bus, spec.hardware, spec.platform, boot_order=order)
        for disk, name, bus, order in zip(dressed, names, buses, orders, strict=True)
    ]


def boot_orders(guest_disks: Sequence[DiskSpec]) -> list[int | None]:
    """Who is tried when to boot from, from 1; a rescue disk alone where there is one."""
    if any(disk.role == "rescue" for disk in guest_disks):
        return [1 if disk.role == "rescue" else None for disk in guest_disks]
    indexes = sorted({d.boot_index for d in guest_disks if d.boot_index is not None})
    return [
        None if disk.boot_index is None else indexes.index(disk.boot_index) + 1
        for disk in guest_disks
    ]


def disk_element(
    disk: DiskSpec,
    name: str,
    bus: str,
    hardware: Hardware,
    platform: Platform,
    *,
    boot_order: int | None = None,
) -> ET.Element:
    """The `<disk>` of `disk`, under `name`. Raises: HypervisorError."""
    if disk.device == "lun" and disk.kind != "block":
        reason = "a volume can be passed on as a LUN only where it is a block device of the host"
        raise HypervisorError(reason=reason)
    kind = _ELEMENT_TYPES.get(disk.kind, disk.kind)
    element = ET.Element("disk", type=kind, device=disk.device)
    ET.SubElement(element, "driver", _driver(disk, bus, hardware, platform))
    element.append(source_element(disk))
    _backing(element, disk)
    ET.SubElement(element, "target", dev=name, bus=bus)
    _limits(element, disk, hardware)
    if disk.read_only or disk.role == "config":
        ET.SubElement(element, "readonly")
    if disk.shared:
        ET.SubElement(element, "shareable")
    if disk.serial:
        ET.SubElement(element, "serial").text = disk.serial
    if boot_order is not None:
        ET.SubElement(element, "boot", order=str(boot_order))
    if bus == "scsi" and hardware.scsi_model == "virtio-scsi":
        # One controller has room for them all; libvirt would make one for each seven.
        unit = str(place_of(letters_of(name) or "a"))
        where = {"type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": unit}
        ET.SubElement(element, "address", where)
    return element


def source_element(disk: DiskSpec) -> ET.Element:
    """The `<source>`: where the content is."""
    if disk.kind == "network" and disk.network:
        return _network(disk.path, disk.network)
    return ET.Element("source", {"dev" if disk.kind == "block" else "file": disk.path})


def _as_drive(disk: DiskSpec, config_drive_format: str) -> DiskSpec:
    """The config drive as what its format belongs into."""
    if disk.role != "config" or config_drive_format != "iso9660":
        return disk
    return DiskSpec(disk.path, disk.format, disk.role, device="cdrom")


def _driver(disk: DiskSpec, bus: str, hardware: Hardware, platform: Platform) -> dict[str, str]:
    cache = platform.disk_caches.get(disk.kind) or _CACHES.get(disk.kind, platform.disk_cache)
    if disk.shared:
        cache = "none"
    driver = {"name": "qemu", "type": disk.format, "cache": cache}
    if disk.kind == "block" and cache in _WITHOUT_CACHE:
        driver["io"] = "native"
    discard = platform.disk_discard if disk.discard is None else disk.discard
    if discard and disk.device == "disk":
        driver["discard"] = "unmap"
    if bus == "virtio" and hardware.packed_ring:
        driver["packed"] = "on"
    return driver


def _network(name: str, network: NetworkSource) -> ET.Element:
    source = ET.Element("source", protocol=network.protocol, name=name)
    for host, port in network.hosts:
        ET.SubElement(source, "host", name=host, port=port)
    if network.user:
        auth = ET.SubElement(source, "auth", username=network.user)
        ET.SubElement(auth, "secret", type="ceph", uuid=network.secret_uuid)
    return source


def _backing(element: ET.Element, disk: DiskSpec) -> None:
    """Name what the disk stands on, if anything: no header that a guest may have written decides
    which files of the host are opened.
    """
    if disk.backing is not None:
        below = ET.SubElement(element, "backingStore", type="file")
        ET.SubElement(below, "format", type=disk.backing.format)
        ET.SubElement(below, "source", file=disk.backing.path)
        ET.SubElement(below, "backingStore")
    elif disk.format == "raw":
        ET.SubElement(element, "backingStore")


def _limits(element: ET.Element, disk: DiskSpec, hardware: Hardware) -> None:
    limits = hardware.limits.disk if disk.limits is None else disk.limits
    if disk.role == "config" or not limits:
        return
    tuning = ET.SubElement(element, "iotune")
    for name, value in limits.items():
        ET.SubElement(tuning, name).text = str(value)

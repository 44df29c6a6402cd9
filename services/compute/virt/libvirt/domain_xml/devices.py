# SPDX-License-Identifier: Apache-2.0
"""The devices of a domain definition."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from common.objects.network import VirtualInterface
from services.compute.virt.libvirt.domain_xml.spec import (
    DiskSpec,
    DomainSpec,
    Hardware,
    Limits,
    Rng,
)

# First letters of a disk's name in the guest, by bus.
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
_BALLOON_STATS_S = "10"


def devices(spec: DomainSpec) -> ET.Element:
    """The `<devices>` element."""
    root = ET.Element("devices")
    names = _Names()
    for disk in spec.disks:
        _disk(root, disk, spec, names)
    hardware = spec.hardware
    _controllers(root, hardware)
    for vif in spec.vifs:
        _interface(root, vif, hardware)
    _serial(root, spec.console_log, hardware.serial_ports)
    if hardware.agent:
        channel = ET.SubElement(root, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if hardware.pointer:
        ET.SubElement(root, "input", type="tablet", bus=hardware.pointer)
    if hardware.tpm:
        tpm = ET.SubElement(root, "tpm", model=hardware.tpm.model)
        ET.SubElement(tpm, "backend", type="emulator", version=hardware.tpm.version)
    _display(root, spec)
    if hardware.sound:
        ET.SubElement(root, "sound", model=hardware.sound)
    if hardware.watchdog:
        ET.SubElement(root, "watchdog", model="i6300esb", action=hardware.watchdog)
    balloon = ET.SubElement(root, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period=_BALLOON_STATS_S)
    if hardware.rng:
        _rng(root, hardware.rng)
    if hardware.iommu:
        _iommu(root, hardware.iommu)
    return root


def _controllers(root: ET.Element, hardware: Hardware) -> None:
    if "scsi" in (hardware.disk_bus, hardware.cdrom_bus):
        ET.SubElement(root, "controller", type="scsi", index="0", model=hardware.scsi_model)
    if hardware.usb:
        ET.SubElement(root, "controller", type="usb", index="0", model=hardware.usb)


class _Names:
    """Gives disks their names: vda, vdb, … one alphabet a prefix."""

    def __init__(self) -> None:
        self._letters: dict[str, Iterator[str]] = {}

    def next(self, bus: str) -> str:
        prefix = _PREFIX[bus]
        letters = self._letters.setdefault(prefix, iter("abcdefghijklmnopqrstuvwxyz"))
        return prefix + next(letters)


def _disk(root: ET.Element, disk: DiskSpec, spec: DomainSpec, names: _Names) -> None:
    is_cdrom = disk.role == "config" and spec.config_drive_format == "iso9660"
    bus = spec.hardware.cdrom_bus if is_cdrom else spec.hardware.disk_bus
    element = ET.SubElement(root, "disk", type="file", device="cdrom" if is_cdrom else "disk")
    driver = {"name": "qemu", "type": disk.format, "cache": spec.platform.disk_cache}
    if not is_cdrom:
        driver["discard"] = "unmap"
    if bus == "virtio" and spec.hardware.packed_ring:
        driver["packed"] = "on"
    ET.SubElement(element, "driver", driver)
    ET.SubElement(element, "source", file=disk.path)
    ET.SubElement(element, "target", dev=names.next(bus), bus=bus)
    if disk.role == "config":
        ET.SubElement(element, "readonly")
    elif spec.hardware.limits.disk:
        tuning = ET.SubElement(element, "iotune")
        for name, value in spec.hardware.limits.disk.items():
            ET.SubElement(tuning, name).text = str(value)


def _interface(root: ET.Element, vif: VirtualInterface, hardware: Hardware) -> None:
    element = ET.SubElement(root, "interface", type="bridge")
    ET.SubElement(element, "mac", address=vif.mac)
    ET.SubElement(element, "source", bridge=vif.bridge or "")
    ET.SubElement(element, "target", dev=vif.device)
    ET.SubElement(element, "model", type=hardware.vif_model)
    driver = {}
    if hardware.vif_queues > 1:
        driver["queues"] = str(hardware.vif_queues)
    if hardware.vif_model == "virtio" and hardware.packed_ring:
        driver["packed"] = "on"
    if driver:
        ET.SubElement(element, "driver", driver)
    if vif.mtu:
        ET.SubElement(element, "mtu", size=str(vif.mtu))
    _bandwidth(element, hardware.limits)


def _bandwidth(interface: ET.Element, limits: Limits) -> None:
    # An average is what the others are measured by: libvirt takes none of them without it.
    ways = {"inbound": limits.inbound, "outbound": limits.outbound}
    given = {way: values for way, values in ways.items() if "average" in values}
    if not given:
        return
    bandwidth = ET.SubElement(interface, "bandwidth")
    for way, values in given.items():
        ET.SubElement(bandwidth, way, {name: str(value) for name, value in values.items()})


def _serial(root: ET.Element, log: str, ports: int) -> None:
    serial = ET.SubElement(root, "serial", type="file")
    # Without append each start would empty the log that users read.
    ET.SubElement(serial, "source", path=log, append="on")
    ET.SubElement(serial, "target", port="0")
    for port in range(1, ports):
        further = ET.SubElement(root, "serial", type="pty")
        ET.SubElement(further, "target", port=str(port))


def _rng(root: ET.Element, rng: Rng) -> None:
    element = ET.SubElement(root, "rng", model="virtio")
    if rng.bytes:
        ET.SubElement(element, "rate", bytes=str(rng.bytes), period=str(rng.period_ms))
    ET.SubElement(element, "backend", model="random").text = "/dev/urandom"


def _iommu(root: ET.Element, model: str) -> None:
    iommu = ET.SubElement(root, "iommu", model=model)
    if model == "intel":
        ET.SubElement(iommu, "driver", intremap="on", caching_mode="on", iotlb="on")


def _display(root: ET.Element, spec: DomainSpec) -> None:
    if spec.platform.vnc_listen is not None and spec.hardware.video != "none":
        graphics = ET.SubElement(root, "graphics", type="vnc", autoport="yes")
        ET.SubElement(graphics, "listen", type="address", address=spec.platform.vnc_listen)
    video = ET.SubElement(root, "video")
    model = ET.SubElement(video, "model", type=spec.hardware.video)
    if spec.hardware.video_ram_mib:
        model.set("vram", str(spec.hardware.video_ram_mib * 1024))

# SPDX-License-Identifier: Apache-2.0
"""The devices of a domain definition."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from common.objects.network import VirtualInterface
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec, DomainSpec

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
    if "scsi" in (hardware.disk_bus, hardware.cdrom_bus):
        ET.SubElement(root, "controller", type="scsi", index="0", model=hardware.scsi_model)
    for vif in spec.vifs:
        _interface(root, vif, hardware.vif_model)
    _serial(root, spec.console_log)
    if hardware.agent:
        channel = ET.SubElement(root, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if hardware.pointer:
        ET.SubElement(root, "input", type="tablet", bus=hardware.pointer)
    _display(root, spec)
    balloon = ET.SubElement(root, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period=_BALLOON_STATS_S)
    if hardware.rng:
        rng = ET.SubElement(root, "rng", model="virtio")
        ET.SubElement(rng, "backend", model="random").text = "/dev/urandom"
    return root


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
    ET.SubElement(element, "driver", driver)
    ET.SubElement(element, "source", file=disk.path)
    ET.SubElement(element, "target", dev=names.next(bus), bus=bus)
    if disk.role == "config":
        ET.SubElement(element, "readonly")


def _interface(root: ET.Element, vif: VirtualInterface, model: str) -> None:
    element = ET.SubElement(root, "interface", type="bridge")
    ET.SubElement(element, "mac", address=vif.mac)
    ET.SubElement(element, "source", bridge=vif.bridge or "")
    ET.SubElement(element, "target", dev=vif.device)
    ET.SubElement(element, "model", type=model)
    if vif.mtu:
        ET.SubElement(element, "mtu", size=str(vif.mtu))


def _serial(root: ET.Element, log: str) -> None:
    serial = ET.SubElement(root, "serial", type="file")
    # Without append each start would empty the log that users read.
    ET.SubElement(serial, "source", path=log, append="on")
    ET.SubElement(serial, "target", port="0")


def _display(root: ET.Element, spec: DomainSpec) -> None:
    if spec.platform.vnc_listen is not None and spec.hardware.video != "none":
        graphics = ET.SubElement(root, "graphics", type="vnc", autoport="yes")
        ET.SubElement(graphics, "listen", type="address", address=spec.platform.vnc_listen)
    video = ET.SubElement(root, "video")
    ET.SubElement(video, "model", type=spec.hardware.video)

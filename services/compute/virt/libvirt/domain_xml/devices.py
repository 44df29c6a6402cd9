# SPDX-License-Identifier: Apache-2.0
"""The devices of a domain definition."""

from xml.etree import ElementTree as ET

from common.objects.network import VirtualInterface
from services.compute.virt.libvirt.domain_xml import disk
from services.compute.virt.libvirt.domain_xml.spec import (
    DomainSpec,
    Hardware,
    Limits,
    Rng,
    SharedFolder,
)

_BALLOON_STATS_S = "10"


def devices(spec: DomainSpec) -> ET.Element:
    """The `<devices>` element."""
    root = ET.Element("devices")
    root.extend(disk.disks(spec))
    hardware = spec.hardware
    _controllers(root, spec)
    root.extend(folder(each) for each in spec.folders)
    for vif in spec.vifs:
        root.append(interface(vif, hardware))
    _serial(root, spec)
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


def folder(shared: SharedFolder) -> ET.Element:
    """A folder of the host, which the guest mounts as virtiofs."""
    element = ET.Element("filesystem", type="mount", accessmode="passthrough")
    ET.SubElement(element, "driver", type="virtiofs")
    ET.SubElement(element, "binary", path=shared.program)
    ET.SubElement(element, "source", dir=shared.path)
    ET.SubElement(element, "target", dir=shared.tag)
    return element


def scsi_controller(hardware: Hardware) -> ET.Element:
    """The controller of all disks on the SCSI bus."""
    return ET.Element("controller", type="scsi", index="0", model=hardware.scsi_model)


def _controllers(root: ET.Element, spec: DomainSpec) -> None:
    hardware = spec.hardware
    used = {target.get("bus") for target in root.iterfind("disk/target")}
    if "scsi" in used | {hardware.disk_bus, hardware.cdrom_bus}:
        root.append(scsi_controller(hardware))
    if hardware.usb:
        ET.SubElement(root, "controller", type="usb", index="0", model=hardware.usb)
    if "q35" in hardware.machine_type and spec.platform.pcie_ports:
        ET.SubElement(root, "controller", type="pci", index="0", model="pcie-root")
        for _ in range(spec.platform.pcie_ports):
            ET.SubElement(root, "controller", type="pci", model="pcie-root-port")


def interface(vif: VirtualInterface, hardware: Hardware) -> ET.Element:
    """The device of a port."""
    element = ET.Element("interface", type="bridge")
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
    bandwidth(element, hardware.limits)
    return element


def bandwidth(interface: ET.Element, limits: Limits) -> None:
    """Bound what the device lets through."""
    # An average is what the others are measured by: libvirt takes none of them without it.
    ways = {"inbound": limits.inbound, "outbound": limits.outbound}
    given = {way: values for way, values in ways.items() if "average" in values}
    if not given:
        return
    bounds = ET.SubElement(interface, "bandwidth")
    for way, values in given.items():
        ET.SubElement(bounds, way, {name: str(value) for name, value in values.items()})


def _serial(root: ET.Element, spec: DomainSpec) -> None:
    # Without append each start would empty the log that users read.
    if spec.serial_port is None:
        first = ET.SubElement(root, "serial", type="file")
        ET.SubElement(first, "source", path=spec.console_log, append="on")
    else:
        first = ET.SubElement(root, "serial", type="tcp")
        listen = {"host": spec.platform.serial_listen or "", "service": str(spec.serial_port)}
        ET.SubElement(first, "source", {"mode": "bind", **listen, "tls": "no"})
        ET.SubElement(first, "protocol", type="raw")
        ET.SubElement(first, "log", file=spec.console_log, append="on")
    ET.SubElement(first, "target", port="0")
    for port in range(1, spec.hardware.serial_ports):
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
    platform = spec.platform
    if spec.hardware.video != "none":
        for kind, address in (("vnc", platform.vnc_listen), ("spice", platform.spice_listen)):
            if address is not None:
                graphics = ET.SubElement(root, "graphics", type=kind, autoport="yes")
                ET.SubElement(graphics, "listen", type="address", address=address)
        if platform.spice_listen is not None and platform.spice_agent:
            channel = ET.SubElement(root, "channel", type="spicevmc")
            ET.SubElement(channel, "target", type="virtio", name="com.redhat.spice.0")
    video = ET.SubElement(root, "video")
    model = ET.SubElement(video, "model", type=spec.hardware.video)
    if spec.hardware.video_ram_mib:
        model.set("vram", str(spec.hardware.video_ram_mib * 1024))

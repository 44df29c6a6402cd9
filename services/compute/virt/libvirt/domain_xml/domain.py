# SPDX-License-Identifier: Apache-2.0
"""A DomainSpec as libvirt's domain XML (https://libvirt.org/formatdomain.html)."""

import re
from xml.etree import ElementTree as ET

from common.objects.instance import Instance
from services.compute.virt.libvirt.domain_xml import devices, processor
from services.compute.virt.libvirt.domain_xml.disk import boot_orders
from services.compute.virt.libvirt.domain_xml.spec import (
    DomainSpec,
    Firmware,
    Hardware,
    Platform,
)

NAMESPACE = "urn:kilonova:instance:1"
# What guests look for to know that a metadata service may be there.
_PRODUCT = "OpenStack Compute"
# Emulation keeps translated code; QEMU's own limit would take a gigabyte a guest.
_TRANSLATION_CACHE_MIB = "32"
# XML 1.0 has no way to write these, escaped or not.
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

ET.register_namespace("kilonova", NAMESPACE)


def domain_name(instance_uuid: str) -> str:
    """A guest's name in libvirt; the uuid itself is libvirt's uuid too."""
    return f"kilonova-{instance_uuid}"


def domain_xml(spec: DomainSpec) -> str:
    """The definition of the guest; the same spec gives the same text."""
    instance, platform = spec.instance, spec.platform
    domain = ET.Element("domain", type=platform.virt_type)
    _text(domain, "name", domain_name(instance.uuid))
    _text(domain, "uuid", instance.uuid)
    metadata(domain, instance)
    processor.add_sizes(domain, spec)
    _sysinfo(domain, instance)
    _operating_system(domain, spec)
    _features(domain, platform, spec.hardware)
    processor.add_cpu(domain, platform, spec.hardware.processor)
    _clock(domain, spec.hardware)
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    domain.append(devices.devices(spec))
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def printable(text: str) -> str:
    """A user's text without the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("\ufffd", text)


def metadata(domain: ET.Element, instance: Instance) -> None:
    """For people who look at a host's guests: what this one is."""
    described = ET.SubElement(domain, "metadata")
    ours = ET.SubElement(described, f"{{{NAMESPACE}}}instance")
    for name, value in (
        ("name", instance.name),
        ("project", instance.project_id),
        ("flavor", instance.flavor.name),
        ("image", instance.image.id if instance.image else ""),
    ):
        ET.SubElement(ours, f"{{{NAMESPACE}}}{name}").text = printable(value)


def _sysinfo(domain: ET.Element, instance: Instance) -> None:
    sysinfo = ET.SubElement(domain, "sysinfo", type="smbios")
    system = ET.SubElement(sysinfo, "system")
    for name, value in (
        ("manufacturer", "kilonova"),
        ("product", _PRODUCT),
        ("serial", instance.uuid),
        ("uuid", instance.uuid),
        ("family", "Virtual Machine"),
    ):
        _text(system, "entry", value, name=name)


def _operating_system(domain: ET.Element, spec: DomainSpec) -> None:
    platform, hardware, firmware = spec.platform, spec.hardware, spec.hardware.firmware
    is_uefi = firmware.kind == "uefi"
    system = ET.SubElement(domain, "os", {"firmware": "efi"} if is_uefi else {})
    _text(system, "type", "hvm", arch=platform.arch, machine=hardware.machine_type)
    if is_uefi:
        _uefi(system, firmware, spec.nvram)
    if not any(boot_orders(spec.disks)):
        ET.SubElement(system, "boot", dev="hd")
    if firmware.boot_menu:
        ET.SubElement(system, "bootmenu", enable="yes")
    ET.SubElement(system, "smbios", mode="sysinfo")


def _uefi(system: ET.Element, firmware: Firmware, nvram: str | None) -> None:
    """libvirt picks the firmware's files by these features, and keeps its variables in `nvram`."""
    features = ET.SubElement(system, "firmware")
    enabled = "yes" if firmware.secure_boot else "no"
    for name in ("enrolled-keys", "secure-boot"):
        ET.SubElement(features, "feature", enabled=enabled, name=name)
    # libvirt 9 takes no "no" beside the features.
    wanted = {"secure": firmware.secure_boot, "stateless": firmware.stateless}
    if loader := {name: "yes" for name, is_wanted in wanted.items() if is_wanted}:
        ET.SubElement(system, "loader", loader)
    if nvram is not None and not firmware.stateless:
        _text(system, "nvram", nvram)


def _features(domain: ET.Element, platform: Platform, hardware: Hardware) -> None:
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    if hardware.processor.pmu is not None:
        ET.SubElement(features, "pmu", state=_on(hardware.processor.pmu))
    if hardware.firmware.secure_boot:
        ET.SubElement(features, "smm", state="on")
    if hardware.is_windows:
        _hyperv(features, hides_itself=hardware.processor.hide_hypervisor)
    if platform.virt_type == "kvm" and hardware.processor.hide_hypervisor:
        ET.SubElement(ET.SubElement(features, "kvm"), "hidden", state="on")
    if hardware.iommu == "intel":
        ET.SubElement(features, "ioapic", driver="qemu")
    if platform.virt_type == "qemu":
        tcg = ET.SubElement(features, "tcg")
        _text(tcg, "tb-cache", _TRANSLATION_CACHE_MIB, unit="MiB")


def _hyperv(features: ET.Element, *, hides_itself: bool) -> None:
    """What Windows guests run better with."""
    hyperv = ET.SubElement(features, "hyperv")
    for name in ("relaxed", "vapic"):
        ET.SubElement(hyperv, name, state="on")
    ET.SubElement(hyperv, "spinlocks", state="on", retries="8191")
    if hides_itself:
        ET.SubElement(hyperv, "vendor_id", state="on", value="1234567890ab")


def _clock(domain: ET.Element, hardware: Hardware) -> None:
    clock = ET.SubElement(domain, "clock", offset="localtime" if hardware.is_windows else "utc")
    ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
    ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    ET.SubElement(clock, "timer", name="hpet", present="yes" if hardware.hpet else "no")


def _on(state: bool) -> str:
    return "on" if state else "off"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text

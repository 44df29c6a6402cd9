# SPDX-License-Identifier: Apache-2.0
"""A DomainSpec as libvirt's domain XML (https://libvirt.org/formatdomain.html)."""

import re
from xml.etree import ElementTree as ET

from common.objects.instance import Instance
from services.compute.virt.libvirt.domain_xml import devices
from services.compute.virt.libvirt.domain_xml.spec import DomainSpec, Hardware, Platform

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
    _metadata(domain, instance)
    _text(domain, "memory", str(instance.flavor.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(instance.flavor.vcpus))
    _sysinfo(domain, instance)
    _operating_system(domain, platform, spec.hardware)
    _features(domain, platform)
    _cpu(domain, platform, instance.flavor.vcpus)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    domain.append(devices.devices(spec))
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def printable(text: str) -> str:
    """A user's text without the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("\ufffd", text)


def _metadata(domain: ET.Element, instance: Instance) -> None:
    """For people who look at a host's guests: what this one is."""
    metadata = ET.SubElement(domain, "metadata")
    ours = ET.SubElement(metadata, f"{{{NAMESPACE}}}instance")
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


def _operating_system(domain: ET.Element, platform: Platform, hardware: Hardware) -> None:
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch=platform.arch, machine=hardware.machine_type)
    ET.SubElement(system, "boot", dev="hd")
    if hardware.boot_menu:
        ET.SubElement(system, "bootmenu", enable="yes")
    ET.SubElement(system, "smbios", mode="sysinfo")


def _features(domain: ET.Element, platform: Platform) -> None:
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    if platform.virt_type == "qemu":
        tcg = ET.SubElement(features, "tcg")
        _text(tcg, "tb-cache", _TRANSLATION_CACHE_MIB, unit="MiB")


def _cpu(domain: ET.Element, platform: Platform, vcpus: int) -> None:
    if platform.cpu_model:
        cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact")
        _text(cpu, "model", platform.cpu_model, fallback="allow")
    elif platform.virt_type == "kvm":
        cpu = ET.SubElement(domain, "cpu", mode="host-model")
    else:
        cpu = ET.SubElement(domain, "cpu")
    ET.SubElement(cpu, "topology", sockets=str(vcpus), cores="1", threads="1")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text

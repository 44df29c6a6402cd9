# SPDX-License-Identifier: Apache-2.0
"""A container as libvirt's domain XML (https://libvirt.org/drvlxc.html).

The hypervisor itself mounts the container's file systems, below the container's own mounts: none of
them is ever seen on the host, and none is left when the container is gone, however it went.
"""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from services.compute.virt.libvirt.domain_xml import devices
from services.compute.virt.libvirt.domain_xml.domain import domain_name, metadata
from services.compute.virt.libvirt.domain_xml.spec import Hardware

ROOT = "/"
_INIT = "/sbin/init"
# What cloud-init looks for in the environment of a container's first process, where it can see no
# SMBIOS: a metadata service may be there.
_PRODUCT = "OpenStack Nova"
# A tenth of a second, of which each virtual CPU may be used up.
_PERIOD_US = 100_000
# Beyond what libvirt takes away by itself: nothing in a container needs them.
_WITHOUT = ("mac_override", "sys_rawio", "syslog", "wake_alarm")


@dataclass(frozen=True)
class FileSystem:
    """What is mounted at `target`: the file system in an image file, or (`is_folder`) a folder."""

    path: str
    target: str
    is_folder: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """All that a definition is made of; the first file system is the root."""

    instance: Instance
    hardware: Hardware
    file_systems: tuple[FileSystem, ...]
    vifs: tuple[VirtualInterface, ...]


def container_xml(spec: ContainerSpec) -> str:
    """The definition of the container; the same spec gives the same text."""
    domain = ET.Element("domain", type="lxc")
    _text(domain, "name", domain_name(spec.instance.uuid))
    _text(domain, "uuid", spec.instance.uuid)
    metadata(domain, spec.instance)
    _sizes(domain, spec)
    system = ET.SubElement(domain, "os")
    _text(system, "type", "exe")
    _text(system, "init", _INIT)
    _text(system, "initenv", _PRODUCT, name="product_name")
    _features(domain)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    inside = ET.SubElement(domain, "devices")
    inside.extend(map(_file_system, spec.file_systems))
    inside.extend(interface(vif, spec.hardware) for vif in spec.vifs)
    ET.SubElement(inside, "console", type="pty")
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def interface(vif: VirtualInterface, hardware: Hardware) -> ET.Element:
    """The device of a port: one end of a pair, whose other end is in the bridge."""
    element = ET.Element("interface", type="bridge")
    ET.SubElement(element, "mac", address=vif.mac)
    ET.SubElement(element, "source", bridge=vif.bridge or "")
    ET.SubElement(element, "target", dev=vif.device)
    devices.bandwidth(element, hardware.limits)
    return element


def _sizes(domain: ET.Element, spec: ContainerSpec) -> None:
    """Memory, and as much of the host's CPUs as the flavor's number of them can do."""
    flavor = spec.instance.flavor
    _text(domain, "memory", str(flavor.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(flavor.vcpus))
    limits = dict(spec.hardware.limits.cpu)
    if "quota" not in limits:
        period = limits.setdefault("period", _PERIOD_US)
        limits["quota"] = period * flavor.vcpus
    tuning = ET.SubElement(domain, "cputune")
    for name, value in limits.items():
        _text(tuning, name, str(value))


def _features(domain: ET.Element) -> None:
    features = ET.SubElement(domain, "features")
    # One without an interface would have the host's network otherwise.
    ET.SubElement(features, "privnet")
    capabilities = ET.SubElement(features, "capabilities", policy="default")
    for name in _WITHOUT:
        ET.SubElement(capabilities, name, state="off")


def _file_system(file_system: FileSystem) -> ET.Element:
    if file_system.is_folder:
        element = ET.Element("filesystem", type="mount")
        ET.SubElement(element, "source", dir=file_system.path)
    else:
        element = ET.Element("filesystem", type="file")
        ET.SubElement(element, "driver", type="loop", format="raw")
        ET.SubElement(element, "source", file=file_system.path)
    ET.SubElement(element, "target", dir=file_system.target)
    if file_system.read_only:
        ET.SubElement(element, "readonly")
    return element


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text

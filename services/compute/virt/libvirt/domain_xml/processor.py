# SPDX-License-Identifier: Apache-2.0
"""CPUs and memory of a domain definition."""

from xml.etree import ElementTree as ET

from services.compute.virt.libvirt.domain_xml.spec import DomainSpec, Limits, Memory, Platform
from services.compute.virt.libvirt.domain_xml.spec import Processor as ProcessorSpec


def add_sizes(domain: ET.Element, spec: DomainSpec) -> None:
    """How much memory, how many CPUs, and what the host holds back of them."""
    flavor, hardware = spec.instance.flavor, spec.hardware
    ET.SubElement(domain, "memory", unit="MiB").text = str(flavor.memory_mib)
    _memory_backing(domain, hardware.memory)
    ET.SubElement(domain, "vcpu").text = str(flavor.vcpus)
    _tuning(domain, hardware.limits, hardware.processor)


def add_cpu(domain: ET.Element, platform: Platform, processor: ProcessorSpec) -> None:
    """The CPU that the guest sees."""
    if processor.model:
        cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact")
        ET.SubElement(cpu, "model", fallback="allow").text = processor.model
    elif platform.virt_type == "kvm":
        cpu = ET.SubElement(domain, "cpu", mode="host-model")
    else:
        cpu = ET.SubElement(domain, "cpu")
    if processor.physical_address_mode:
        address = ET.SubElement(cpu, "maxphysaddr", mode=processor.physical_address_mode)
        if processor.physical_address_bits:
            address.set("bits", str(processor.physical_address_bits))
    layout = processor.topology
    ET.SubElement(
        cpu, "topology", sockets=str(layout.sockets), cores=str(layout.cores),
        threads=str(layout.threads),
    )  # fmt: skip
    for feature in platform.cpu_features:
        ET.SubElement(cpu, "feature", policy="require", name=feature)
    if processor.nodes:
        numa = ET.SubElement(cpu, "numa")
        for number, node in enumerate(processor.nodes):
            ET.SubElement(
                numa, "cell", id=str(number), cpus=",".join(map(str, sorted(node.cpus))),
                memory=str(node.memory_mib), unit="MiB",
            )  # fmt: skip


def _memory_backing(domain: ET.Element, memory: Memory) -> None:
    if memory.page_kib is None and not memory.locked:
        return
    backing = ET.SubElement(domain, "memoryBacking")
    if memory.page_kib is not None:
        pages = ET.SubElement(backing, "hugepages")
        ET.SubElement(pages, "page", size=str(memory.page_kib), unit="KiB")
    if memory.locked:
        ET.SubElement(backing, "locked")


def _tuning(domain: ET.Element, limits: Limits, processor: ProcessorSpec) -> None:
    if not limits.cpu and not processor.pins:
        return
    tuning = ET.SubElement(domain, "cputune")
    for name, value in limits.cpu.items():
        ET.SubElement(tuning, name).text = str(value)
    for guest_cpu, host_cpu in sorted(processor.pins.items()):
        ET.SubElement(tuning, "vcpupin", vcpu=str(guest_cpu), cpuset=str(host_cpu))
    if processor.pins:
        shared = ",".join(map(str, sorted(processor.pins.values())))
        ET.SubElement(tuning, "emulatorpin", cpuset=shared)

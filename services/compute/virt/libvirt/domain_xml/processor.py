# SPDX-License-Identifier: Apache-2.0
"""CPUs and memory of a domain definition."""

from collections.abc import Collection
from xml.etree import ElementTree as ET

from services.compute.virt.libvirt.domain_xml.spec import (
    EMULATOR,
    DomainSpec,
    Limits,
    Memory,
    Platform,
)
from services.compute.virt.libvirt.domain_xml.spec import Processor as ProcessorSpec

# QEMU's own choice for emulated CPUs, which must be named where something is added or taken away.
_EMULATED_MODEL = "qemu64"


def add_sizes(domain: ET.Element, spec: DomainSpec) -> None:
    """How much memory, how many CPUs, and what the host holds back of them."""
    flavor, hardware = spec.instance.flavor, spec.hardware
    ET.SubElement(domain, "memory", unit="MiB").text = str(flavor.memory_mib)
    _memory_backing(domain, hardware.memory, is_shared=bool(spec.folders))
    cpus = ET.SubElement(domain, "vcpu")
    cpus.text = str(flavor.vcpus)
    float_cpus(cpus, flavor.vcpus - len(_own(hardware.processor)), spec.platform.floating_cpus)
    _tuning(domain, spec.platform, hardware.limits, hardware.processor)


def add_cpu(domain: ET.Element, platform: Platform, processor: ProcessorSpec) -> None:
    """The CPU that the guest sees."""
    is_emulated = platform.virt_type != "kvm"
    # KVM has a way of its own to hide. A guest that looks for its hypervisor asks for this bit.
    hidden = ("hypervisor",) if is_emulated and processor.hide_hypervisor else ()
    model = processor.model
    if is_emulated and not platform.cpu_mode and (platform.cpu_features or hidden):
        model = model or _EMULATED_MODEL
    if model:
        cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact")
        ET.SubElement(cpu, "model", fallback="allow").text = model
    elif platform.cpu_mode:
        cpu = ET.SubElement(domain, "cpu", mode=platform.cpu_mode)
    elif not is_emulated:
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
    for feature in hidden:
        ET.SubElement(cpu, "feature", policy="disable", name=feature)
    if processor.nodes:
        numa = ET.SubElement(cpu, "numa")
        for number, node in enumerate(processor.nodes):
            ET.SubElement(
                numa, "cell", id=str(number), cpus=",".join(map(str, sorted(node.cpus))),
                memory=str(node.memory_mib), unit="MiB",
            )  # fmt: skip


def float_cpus(cpus: ET.Element, floating: int, on: Collection[int]) -> None:
    """Where those of a guest's `cpus` run that have no host CPU for themselves, `floating` many."""
    if floating and on:
        cpus.set("cpuset", ",".join(map(str, sorted(on))))
    else:
        cpus.attrib.pop("cpuset", None)


def _own(processor: ProcessorSpec) -> dict[int, int]:
    """The guest's CPUs that have a host CPU for themselves, and which."""
    return {cpu: host for cpu, host in sorted(processor.pins.items()) if cpu != EMULATOR}


def _memory_backing(domain: ET.Element, memory: Memory, *, is_shared: bool) -> None:
    """`is_shared`: other programs of the host see the guest's memory, those that serve folders."""
    if memory.page_kib is None and not memory.locked and not is_shared:
        return
    backing = ET.SubElement(domain, "memoryBacking")
    if memory.page_kib is not None:
        pages = ET.SubElement(backing, "hugepages")
        ET.SubElement(pages, "page", size=str(memory.page_kib), unit="KiB")
    if memory.locked:
        ET.SubElement(backing, "locked")
    if is_shared:
        ET.SubElement(backing, "source", type="memfd")
        ET.SubElement(backing, "access", mode="shared")


def _tuning(
    domain: ET.Element, platform: Platform, limits: Limits, processor: ProcessorSpec
) -> None:
    if not limits.cpu and not processor.pins:
        return
    tuning = ET.SubElement(domain, "cputune")
    for name, value in limits.cpu.items():
        ET.SubElement(tuning, name).text = str(value)
    own = _own(processor)
    for guest_cpu, host_cpu in own.items():
        ET.SubElement(tuning, "vcpupin", vcpu=str(guest_cpu), cpuset=str(host_cpu))
    if processor.emulator == "isolate":
        emulators = {processor.pins[EMULATOR]}
    elif processor.emulator == "share":
        emulators = set(platform.shared_cpus)
    else:
        emulators = set(own.values())
    if own:
        ET.SubElement(tuning, "emulatorpin", cpuset=",".join(map(str, sorted(emulators))))

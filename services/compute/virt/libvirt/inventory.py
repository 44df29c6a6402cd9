# SPDX-License-Identifier: Apache-2.0
"""What a libvirt host has: CPUs, memory, disk, and what its CPU is."""

import os
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from common.objects.resources import Resources
from services.compute.images import GIB
from services.compute.virt.driver import Inventory
from services.compute.virt.libvirt.events import is_ours


def take_inventory(connection: Any, virt_type: str, instances: Path) -> Inventory:
    """The host as it is now. Raises: libvirtError."""
    capabilities = ET.fromstring(connection.getCapabilities())
    disk = os.statvfs(instances)
    total = Resources(
        vcpus=int(connection.getInfo()[2]),
        memory_mib=_memory_mib(connection),
        disk_gib=disk.f_blocks * disk.f_frsize // GIB,
    )
    return Inventory(
        node=connection.getHostname(),
        hypervisor_type=connection.getType().upper(),
        hypervisor_version=connection.getVersion(),
        total=total,
        free_disk_gib=disk.f_bavail * disk.f_frsize // GIB,
        running_instances=sum(
            1 for d in connection.listAllDomains() if is_ours(d) and d.isActive()
        ),
        arch=capabilities.findtext("./host/cpu/arch", "x86_64"),
        supported=_supported(capabilities, virt_type),
        cpu_info=_cpu_info(capabilities),
        uptime=_uptime(),
    )


def _memory_mib(connection: Any) -> int:
    """The host's memory. Not getInfo's figure: it counts what the kernel has touched so far on
    hosts that initialise memory lazily, a fifth of what is there."""
    total_kib: int = connection.getMemoryStats(-1)["total"]
    return total_kib // 1024


def _supported(capabilities: ET.Element, virt_type: str) -> tuple[tuple[str, str, str], ...]:
    """(architecture, hypervisor, mode) of guests; KVM only where it was proven."""
    return tuple(
        (arch.get("name", ""), domain.get("type", ""), guest.findtext("os_type", ""))
        for guest in capabilities.iterfind("guest")
        for arch in guest.iterfind("arch")
        for domain in arch.iterfind("domain")
        if domain.get("type") in ("qemu", virt_type)
    )


def _cpu_info(capabilities: ET.Element) -> dict[str, Any]:
    cpu = capabilities.find("./host/cpu")
    if cpu is None:
        return {}
    topology = cpu.find("topology")
    counts = topology.attrib if topology is not None else {}
    return {
        "arch": cpu.findtext("arch", ""),
        "model": cpu.findtext("model", ""),
        "vendor": cpu.findtext("vendor", ""),
        "topology": {
            "cells": len(capabilities.findall("./host/topology/cells/cell")),
            **{name: int(counts.get(name, 1)) for name in ("sockets", "cores", "threads")},
        },
        "features": sorted(f.get("name", "") for f in cpu.iterfind("feature")),
    }


def _uptime() -> str:
    """The host's uptime in the form of uptime(1), which clients take apart."""
    up_s = int(float(Path("/proc/uptime").read_text().split()[0]))
    days, minutes = up_s // 86400, up_s % 86400 // 60
    day_words = f"{days} day{'s' if days != 1 else ''}, " if days else ""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    up = f"{day_words}{minutes // 60}:{minutes % 60:02d}"
    return f" {time.strftime('%H:%M:%S')} up {up},  0 users,  load average: {load}"

# SPDX-License-Identifier: Apache-2.0
"""Which CPUs and NUMA nodes of the host a guest has, as libvirt says."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from common.guest_hardware.topology import parse_cpus
from common.objects.guest_place import GuestPlace


def place_of(definition: str, capabilities: str) -> GuestPlace:
    """The place of a guest with this definition, on a host with these capabilities."""
    domain, cells = ET.fromstring(definition), _cells(capabilities)
    pins = {
        int(pin.get("vcpu", "-1")): int(cpus)
        for pin in domain.iterfind("cputune/vcpupin")
        if (cpus := pin.get("cpuset", "")).isdecimal()  # a set of several binds to none of them
    }
    nodes = {}
    for node in domain.iterfind("cpu/numa/cell"):
        own = [pins.get(cpu) for cpu in parse_cpus(node.get("cpus", ""))]
        # What may run anywhere is all the same on the only node, where there is no other one.
        found = set(cells.values()) if None in own else {cells.get(pin or 0) for pin in own}
        if len(found) == 1 and (cell := found.pop()) is not None:
            nodes[int(node.get("id", "-1"))] = cell
    return GuestPlace(pins=pins, nodes=nodes)


def _cells(capabilities: str) -> Mapping[int, int]:
    """The host's NUMA node of each of its CPUs."""
    found = {}
    for cell in ET.fromstring(capabilities).iterfind("host/topology/cells/cell"):
        for cpu in cell.iterfind("cpus/cpu"):
            found[int(cpu.get("id", "-1"))] = int(cell.get("id", "-1"))
    return found

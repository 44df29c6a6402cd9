# SPDX-License-Identifier: Apache-2.0
"""What of hosts can be asked for by name: `free_ram_mb`, `cpu_info:features` and their like.

The names are those that operators of the Compute API know from its filters. A figure is a column of
numbers, another attribute a column of texts; parts of `cpu_info` are reached by a path.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.scheduler.host_table import HostColumns, Ints, Mask
from services.scheduler.kinds import Hardware, Hypervisor

Values = npt.NDArray[Any]


class Column(NamedTuple):
    """What hosts have of an attribute: of each host, or of each of its kinds with the number of
    every host's kind. A figure is a number, another value may be any object; None is none.
    """

    values: Values
    kinds: Ints | None = None

    def of_hosts(self) -> Values:
        """The value of each host."""
        return self.values if self.kinds is None else self.values[self.kinds]

    def judged(self, judge: Callable[[Any], bool]) -> Mask:
        """What `judge` says of each host's value."""
        answers: Mask = np.fromiter(map(judge, self.values.tolist()), np.bool_, len(self.values))
        return answers if self.kinds is None else answers[self.kinds]


_LOW_BITS = 64
_MIB_PER_GIB = 1024


def _of_hardware(hosts: HostColumns, figure: Callable[[Hardware], float]) -> Values:
    figures: Values = np.array([figure(each) for each in hosts.hardware_kinds])[hosts.hardware]
    return figures


def _of_hypervisors(hosts: HostColumns, value: Callable[[Hypervisor], Any]) -> Column:
    return Column(_objects([value(each) for each in hosts.hypervisors]), hosts.hypervisor)


def _objects(values: Sequence[Any]) -> Values:
    """What is no number; not an array of characters, whatever the values."""
    made = np.empty(len(values), object)
    for row, value in enumerate(values):  # assigned one by one: a value may be a list
        made[row] = value
    return made


def _memory_used_mib(hosts: HostColumns) -> Values:
    return hosts.memory_claimed_mib + _of_hardware(hosts, lambda h: h.reserved.memory_mib)


def _disk_used_gib(hosts: HostColumns) -> Values:
    return hosts.disk_claimed_gib + _of_hardware(hosts, lambda h: h.reserved.disk_gib)


def _memory_mib(hosts: HostColumns) -> Values:
    return _of_hardware(hosts, lambda h: h.total.memory_mib)


def _disk_gib(hosts: HostColumns) -> Values:
    return _of_hardware(hosts, lambda h: h.total.disk_gib)


def _addresses(hosts: HostColumns) -> Values:
    found = []
    for high, low in zip(hosts.ip_high.tolist(), hosts.ip_low.tolist(), strict=True):
        address = ipaddress.IPv6Address(high << _LOW_BITS | low)
        found.append(str(address.ipv4_mapped or address))
    return _objects(found)


_ATTRIBUTES: dict[str, Callable[[HostColumns], Values]] = {
    "host": lambda hosts: _objects([name.host for name in hosts.names]),
    "nodename": lambda hosts: _objects([name.node for name in hosts.names]),
    "hypervisor_hostname": lambda hosts: _objects([name.node for name in hosts.names]),
    "uuid": lambda hosts: _objects([name.host_uuid for name in hosts.names]),
    "host_ip": _addresses,
    "hypervisor_version": lambda hosts: np.array([h.version for h in hosts.hypervisors])[
        hosts.hypervisor
    ],
    "vcpus": lambda hosts: _of_hardware(hosts, lambda h: h.total.vcpus),
    "vcpus_total": lambda hosts: _of_hardware(hosts, lambda h: h.total.vcpus),
    "vcpus_used": lambda hosts: hosts.vcpus_claimed,
    "memory_mb": _memory_mib,
    "total_usable_ram_mb": _memory_mib,
    "memory_mb_used": _memory_used_mib,
    "free_ram_mb": lambda hosts: _memory_mib(hosts) - _memory_used_mib(hosts),
    "local_gb": _disk_gib,
    "total_usable_disk_gb": _disk_gib,
    "local_gb_used": _disk_used_gib,
    "disk_mb_used": lambda hosts: _disk_used_gib(hosts) * _MIB_PER_GIB,
    "free_disk_gb": lambda hosts: _disk_gib(hosts) - _disk_used_gib(hosts),
    "free_disk_mb": lambda hosts: (_disk_gib(hosts) - _disk_used_gib(hosts)) * _MIB_PER_GIB,
    "cpu_allocation_ratio": lambda hosts: _of_hardware(hosts, lambda h: h.cpu_ratio),
    "ram_allocation_ratio": lambda hosts: _of_hardware(hosts, lambda h: h.memory_ratio),
    "disk_allocation_ratio": lambda hosts: _of_hardware(hosts, lambda h: h.disk_ratio),
    "num_instances": lambda hosts: hosts.instances,
    "running_vms": lambda hosts: hosts.instances,
    "num_io_ops": lambda hosts: hosts.io_ops,
    "current_workload": lambda hosts: hosts.io_ops,
    "failed_builds": lambda hosts: hosts.failed_builds,
}
_OF_HYPERVISORS: dict[str, Callable[[Hypervisor], Any]] = {
    "hypervisor_type": lambda each: each.type,
    "supported_instances": lambda each: [list(one) for one in each.supported],
    "supported_hv_specs": lambda each: [list(one) for one in each.supported],
}


def column(hosts: HostColumns, path: Sequence[str]) -> Column | None:
    """What the hosts have under a path; None when no host ever has such a thing.

    A host that lacks a part of `cpu_info` has None there.
    """
    name, *parts = path
    if name == "cpu_info":
        return _of_hypervisors(hosts, lambda each: _part(msgspec.json.decode(each.cpu_info), parts))
    if not parts and name in _OF_HYPERVISORS:
        return _of_hypervisors(hosts, _OF_HYPERVISORS[name])
    if not parts and name in _ATTRIBUTES:
        return Column(_ATTRIBUTES[name](hosts))
    return None


def _part(value: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value

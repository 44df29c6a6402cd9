# SPDX-License-Identifier: Apache-2.0
"""Hosts, specs and choosers for the scheduler's tests: valid by default."""

import random
import uuid
from datetime import UTC, datetime

from common.objects.compute_node import ComputeNode, HostBaseline, HostDelta, HostReport
from common.objects.request_spec import RequestSpec
from common.objects.resources import Resources
from services.scheduler.filters.registry import filters_named
from services.scheduler.host_table import HostTable
from services.scheduler.select import Chooser
from services.scheduler.weighers.registry import weighers

FILTERS = (
    "ComputeFilter", "AvailabilityZoneFilter", "CapacityFilter", "ImagePropertiesFilter",
    "RequestedHostFilter", "ExcludedHostFilter", "ServerGroupAntiAffinityFilter",
    "ServerGroupAffinityFilter",
)  # fmt: skip
MULTIPLIERS = {
    "ram": 1.0, "cpu": 1.0, "disk": 1.0, "build_failure": 1000000.0,
    "soft_affinity": 1.0, "soft_anti_affinity": 1.0,
}  # fmt: skip
NEED = Resources(vcpus=1, memory_mib=1024, disk_gib=10)


class HandClock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def make_host(name: str, **fields) -> ComputeNode:
    """Eight vCPUs, 16 GiB of memory and 100 GiB of disk, ready for work."""
    report = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "host": name,
        "node": f"{name}.example",
        "rpc_server": name,
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7002000,
        "supported": (("x86_64", "qemu", "hvm"), ("i686", "qemu", "hvm")),
        "total": Resources(vcpus=8, memory_mib=16384, disk_gib=100),
        "cpu_ratio": 1.0,
    }
    for key in list(fields):
        if key in HostReport.__struct_fields__:
            report[key] = fields.pop(key)
    return ComputeNode(report=HostReport(**report), **{"is_up": True, **fields})


def delta(node: ComputeNode, **fields) -> HostDelta:
    return HostDelta(node=node, **fields)


def table_of(*nodes: ComputeNode) -> HostTable:
    table = HostTable()
    table.load(HostBaseline(hosts=nodes))
    return table


def make_spec(count: int = 1, first: int = 0, **fields) -> RequestSpec:
    uuids = tuple(str(uuid.UUID(int=n)) for n in range(first, first + count))
    return RequestSpec(**{"instance_uuids": uuids, "project_id": "p", "need": NEED, **fields})


def make_chooser(
    clock=None, *, alternates=2, host_subset_size=1, seed=1, soft_multiplier=1.0
) -> Chooser:
    soft = {"soft_affinity": soft_multiplier, "soft_anti_affinity": soft_multiplier}
    return Chooser(
        filters_named(FILTERS),
        weighers(MULTIPLIERS | soft),
        alternates=alternates,
        host_subset_size=host_subset_size,
        clock=clock or HandClock(),
        rng=random.Random(seed),
    )


def chosen(selection) -> list[str]:
    """The first candidate of each instance, by host name; '' for none."""
    return [names[0].host if names else "" for names in selection.candidates]

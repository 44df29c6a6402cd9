# SPDX-License-Identifier: Apache-2.0
"""ComputeNode: a host's hypervisor, what it has and what is taken of it."""

from datetime import datetime
from typing import Any

from common.objects.resources import Resources
from common.objects.versioned import Versioned


class HostReport(Versioned, frozen=True, kw_only=True):
    """What a compute daemon says of its hypervisor, at start and when it changes.

    `total` is what the hardware has, `reserved` what the operator keeps back for the host itself.
    `rpc_server` is the queue that the daemon listens on: several fake hosts may share one.
    `connector` is how the host reaches volumes, as volume services want to know it.
    `dedicated_cpus`: how many of its CPUs guests may have for themselves; None: it does not say.
    """

    uuid: str
    host: str
    node: str
    rpc_server: str
    hypervisor_type: str
    hypervisor_version: int
    host_ip: str = "127.0.0.1"
    arch: str = "x86_64"
    supported: tuple[tuple[str, str, str], ...] = ()
    cpu_info: dict[str, Any] = {}
    total: Resources
    reserved: Resources = Resources()
    cpu_ratio: float = 4.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    traits: tuple[str, ...] = ()
    free_disk_gib: int = 0
    running_instances: int = 0
    uptime: str | None = None
    connector: dict[str, Any] = {}
    dedicated_cpus: int | None = None


class ComputeNode(Versioned, frozen=True, kw_only=True):
    """A compute node as the database has it: report, claims, and its service's state.

    `aggregate_metadata` is that of each of its `aggregates`, in any order.
    """

    id: int = 0
    report: HostReport
    claimed: Resources = Resources()
    instances: int = 0
    building: int = 0
    failed_builds: int = 0
    generation: int = 0
    service_id: int = 0
    service_uuid: str = ""
    disabled: bool = False
    disabled_reason: str | None = None
    is_up: bool = False
    forced_down: bool = False
    availability_zone: str = "nova"
    aggregates: tuple[int, ...] = ()
    aggregate_metadata: tuple[dict[str, str], ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None


class HostDelta(Versioned, frozen=True, kw_only=True):
    """One host as it is now; `removed` when it is gone. Newer generations win."""

    node: ComputeNode
    removed: bool = False


class HostBaseline(Versioned, frozen=True, kw_only=True):
    """Every host, and for each conductor that publishes deltas the last number it had given."""

    hosts: tuple[ComputeNode, ...]
    published: dict[str, int] = {}

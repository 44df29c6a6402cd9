# SPDX-License-Identifier: Apache-2.0
"""How much a host has left, and how well building on it has gone."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.host_table import Floats, HostColumns
from services.scheduler.weighers.registry import host_weigher


@host_weigher("ram")
def free_memory(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """MiB of memory that may still be claimed."""
    return hosts.memory_free_mib.astype(np.float64)


@host_weigher("cpu")
def free_vcpus(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """vCPUs that may still be claimed."""
    return hosts.vcpus_free.astype(np.float64)


@host_weigher("disk")
def free_disk(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """GiB of disk that may still be claimed."""
    return hosts.disk_free_gib.astype(np.float64)


@host_weigher("build_failure")
def few_failed_builds(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """Recently failed builds count against a host."""
    return -hosts.failed_builds.astype(np.float64)


@host_weigher("io_ops")
def much_under_way(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """Operations under way; a negative multiplier prefers hosts with few of them."""
    return hosts.io_ops_soon.astype(np.float64)


@host_weigher("num_instances")
def many_instances(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """Instances; a negative multiplier prefers hosts with few of them."""
    return hosts.instances_soon.astype(np.float64)


@host_weigher("hypervisor_version")
def new_hypervisor(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """The newer the hypervisor the better."""
    versions = np.array([each.version for each in hosts.hypervisors], np.float64)
    return np.asarray(versions[hosts.hypervisor])

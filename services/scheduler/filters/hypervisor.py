# SPDX-License-Identifier: Apache-2.0
"""Hosts where a guest that runs can go on running."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import host_filter
from services.scheduler.host_table import HostColumns, Mask


@host_filter(
    "CompatibleHypervisorFilter",
    turned_away="whose hypervisor is older than the guest's, or of another type",
)
def can_take_over(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts with the guest's hypervisor, as new as its own or newer; all for one that is off."""
    if spec.hypervisor_type is None:
        return np.ones(len(hosts), np.bool_)
    return hosts.by_hypervisor(
        lambda each: each.type == spec.hypervisor_type and each.version >= spec.hypervisor_version
    )

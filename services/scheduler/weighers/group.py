# SPDX-License-Identifier: Apache-2.0
"""Where the other members of an instance's server group are, for policies that only wish."""

import numpy as np

from common.objects.request_spec import RequestSpec
from common.objects.server_group import SOFT_AFFINITY, SOFT_ANTI_AFFINITY
from services.scheduler.host_table import Floats, HostColumns
from services.scheduler.weighers.registry import host_weigher


@host_weigher("soft_affinity")
def together(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """The more members a host has the better, where the group wishes to be together."""
    return _members(hosts, spec, SOFT_AFFINITY)


@host_weigher("soft_anti_affinity")
def apart(hosts: HostColumns, spec: RequestSpec) -> Floats:
    """The fewer members a host has the better, where the group wishes to be apart."""
    return -_members(hosts, spec, SOFT_ANTI_AFFINITY)


def _members(hosts: HostColumns, spec: RequestSpec, policy: str) -> Floats:
    group = spec.group
    if group is None or group.policy != policy or not group.hosts:
        return np.zeros(len(hosts))
    return hosts.figures(group.hosts).astype(np.float64)

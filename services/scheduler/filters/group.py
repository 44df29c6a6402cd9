# SPDX-License-Identifier: Apache-2.0
"""Hosts that the policy of an instance's server group allows."""

from collections.abc import Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from common.objects.server_group import AFFINITY, ANTI_AFFINITY
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Mask


def _used_by_members(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    name = spec.group.name if spec.group else ""
    return [TurnedAway(int(turned_away.sum()), f"used by other members of server group {name}")]


def _without_members(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    name = spec.group.name if spec.group else ""
    return [TurnedAway(int(turned_away.sum()), f"without the members of server group {name}")]


@host_filter("ServerGroupAntiAffinityFilter", turned_away=_used_by_members)
def apart(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts with fewer other members than the group allows on one."""
    group = spec.group
    if group is None or group.policy != ANTI_AFFINITY:
        return np.ones(len(hosts), np.bool_)
    return np.less(hosts.figures(group.hosts), group.max_per_host)


@host_filter("ServerGroupAffinityFilter", turned_away=_without_members)
def together(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """The host of the other members; any while there are none."""
    group = spec.group
    if group is None or group.policy != AFFINITY or not group.hosts:
        return np.ones(len(hosts), np.bool_)
    return hosts.named(group.hosts)

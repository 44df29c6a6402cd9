# SPDX-License-Identifier: Apache-2.0
"""Hosts that have not too many instances, and not too much under way."""

from collections.abc import Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, tuned_filter
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.settings import Settings

# Keys of aggregates' metadata; the least of a host's aggregates holds for it.
_INSTANCES, _IO_OPS = "max_instances_per_host", "max_io_ops_per_host"


def _too_many_instances(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask, settings: Settings
) -> Sequence[TurnedAway]:
    least = int(hosts.instances_soon[turned_away].min())
    return [TurnedAway(int(turned_away.sum()), f"with too many instances ({least} or more)")]


def _too_much_under_way(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask, settings: Settings
) -> Sequence[TurnedAway]:
    least = int(hosts.io_ops_soon[turned_away].min())
    return [TurnedAway(int(turned_away.sum()), f"with too much under way ({least} or more)")]


@tuned_filter("NumInstancesFilter", turned_away=_too_many_instances)
def few_instances(hosts: HostColumns, spec: RequestSpec, settings: Settings) -> Mask:
    """Hosts with fewer instances than `max_instances_per_host`."""
    return np.less(hosts.instances_soon, settings.max_instances)


@tuned_filter("IoOpsFilter", turned_away=_too_much_under_way)
def little_under_way(hosts: HostColumns, spec: RequestSpec, settings: Settings) -> Mask:
    """Hosts with fewer operations under way than `max_io_ops_per_host`."""
    return np.less(hosts.io_ops_soon, settings.max_io_ops)


@tuned_filter("AggregateNumInstancesFilter", turned_away=_too_many_instances)
def few_instances_for_its_aggregates(
    hosts: HostColumns, spec: RequestSpec, settings: Settings
) -> Mask:
    """As NumInstancesFilter, by the metadata of aggregates where they have it."""
    return np.less(hosts.instances_soon, hosts.least(_INSTANCES, settings.max_instances))


@tuned_filter("AggregateIoOpsFilter", turned_away=_too_much_under_way)
def little_under_way_for_its_aggregates(
    hosts: HostColumns, spec: RequestSpec, settings: Settings
) -> Mask:
    """As IoOpsFilter, by the metadata of aggregates where they have it."""
    return np.less(hosts.io_ops_soon, hosts.least(_IO_OPS, settings.max_io_ops))

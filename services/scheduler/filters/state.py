# SPDX-License-Identifier: Apache-2.0
"""Hosts that take work at all."""

from collections.abc import Sequence

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Mask


def disabled_or_down(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """A host that is both counts as disabled: that is what an operator did on purpose."""
    disabled = turned_away & ~hosts.enabled
    return [
        TurnedAway(int(disabled.sum()), "disabled"),
        TurnedAway(int((turned_away & ~disabled).sum()), "down or not heard from"),
    ]


@host_filter("ComputeFilter", turned_away=disabled_or_down)
def accepts_work(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that are enabled and were heard from in time."""
    return hosts.enabled & hosts.is_up

# SPDX-License-Identifier: Apache-2.0
"""Hosts with room: vCPUs, memory and disk, over-commit ratios included."""

from collections.abc import Sequence

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Ints, Mask


def what_is_missing(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """What hosts lack, with the most that one of them has. A host that lacks several things
    counts for the first: memory, vCPUs, disk."""
    answers = []
    left = turned_away.copy()
    for free, need, text in _needs(hosts, spec):
        lacking = left & (free < need)
        if lacking.any():
            most = max(0, int(free[lacking].max()))
            answers.append(TurnedAway(int(lacking.sum()), text.format(need=need, most=most)))
        left &= ~lacking
    return answers


def _needs(hosts: HostColumns, spec: RequestSpec) -> tuple[tuple[Ints, int, str], ...]:
    need = spec.need
    return (
        (hosts.memory_free_mib, need.memory_mib,
         "without {need} MiB of free memory (the most is {most} MiB)"),
        (hosts.vcpus_free, need.vcpus, "without {need} free vCPUs (the most is {most})"),
        (hosts.disk_free_gib, need.disk_gib,
         "without {need} GiB of free disk (the most is {most} GiB)"),
    )  # fmt: skip


@host_filter("CapacityFilter", turned_away=what_is_missing)
def has_room(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that have what one instance needs. What it does not need may be overdrawn: a host
    short of disk still takes an instance whose disk is elsewhere."""
    fits = hosts.enabled | True
    for free, need, _ in _needs(hosts, spec):
        if need > 0:
            fits &= free >= need
    return fits

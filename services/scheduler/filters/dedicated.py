# SPDX-License-Identifier: Apache-2.0
"""Hosts with CPUs that guests may have for themselves, where flavor or image ask for such."""

from collections.abc import Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, host_filter
from services.scheduler.host_table import HostColumns, Mask


def _wanted(spec: RequestSpec) -> int:
    """How many dedicated CPUs are asked for, at least."""
    policy = spec.extra_specs.get("hw:cpu_policy") or spec.image_properties.get("hw_cpu_policy")
    of_policy = {"dedicated": spec.need.vcpus, "mixed": 1}  # which of them, only the host works out
    return of_policy.get((policy or "").strip().lower(), 0)


def how_many_are_missing(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """Says how many CPUs are asked for."""
    text = f"without {_wanted(spec)} dedicated CPUs"
    return [TurnedAway(int(turned_away.sum()), text)]


@host_filter("DedicatedCpusFilter", turned_away=how_many_are_missing)
def has_dedicated_cpus(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that have as many at all; whether they are free, the host says when it builds.

    A host that does not say is accepted.
    """
    wanted = _wanted(spec)
    if not wanted:
        return np.ones(len(hosts), np.bool_)
    return hosts.by_hardware(
        lambda each: each.dedicated_cpus is None or each.dedicated_cpus >= wanted
    )

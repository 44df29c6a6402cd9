# SPDX-License-Identifier: Apache-2.0
"""Hosts that have what the flavor's extra specs ask of a host."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler import attributes
from services.scheduler.filters.registry import TurnedAway, counted_once, host_filter
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.requirements import Requirement

_SCOPE = "capabilities"


def _asked(spec: RequestSpec) -> Iterator[tuple[str, list[str], bool, Requirement]]:
    """(key, path, whether the key names the scope, requirement) of each extra spec that counts."""
    for key, text in spec.extra_specs.items():
        scope, *rest = key.split(":")
        if not rest:
            yield key, [key], False, Requirement.parse(text)
        elif scope == _SCOPE and rest[0]:
            yield key, rest, True, Requirement.parse(text)


def what_the_flavor_asks(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """Names the demands that each host fails first, as the flavor has them."""
    return counted_once(
        turned_away,
        (
            (
                _meets(hosts, path, requirement, if_unknown=not is_scoped),
                f"without what the flavor wants of hosts ({key} {requirement.text})",
            )
            for key, path, is_scoped, requirement in _asked(spec)
        ),
    )


@host_filter("ComputeCapabilitiesFilter", turned_away=what_the_flavor_asks)
def has_capabilities(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts whose attributes meet each of the flavor's `capabilities:` extra specs.

    A key without a scope counts when it is the name of an attribute.
    """
    accepted = np.ones(len(hosts), np.bool_)
    for _, path, is_scoped, requirement in _asked(spec):
        accepted &= _meets(hosts, path, requirement, if_unknown=not is_scoped)
    return accepted


def _meets(
    hosts: HostColumns, path: Sequence[str], requirement: Requirement, *, if_unknown: bool
) -> Mask:
    found = attributes.column(hosts, path)
    if found is None:
        return np.full(len(hosts), if_unknown, np.bool_)
    known: dict[str, bool] = {}  # many hosts have the same

    def judge(value: object) -> bool:
        if value is None:
            return False
        text = str(value)
        if text not in known:
            known[text] = requirement.is_met_by(text)
        return known[text]

    return found.judged(judge)

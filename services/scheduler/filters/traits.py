# SPDX-License-Identifier: Apache-2.0
"""Hosts with the traits that flavor and image require, and without those that they forbid.

Both ask by `trait:NAME`, the flavor also by `trait<group>:NAME`; a host is one group.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import TurnedAway, counted_once, host_filter
from services.scheduler.host_table import HostColumns, Mask

_KEY = re.compile(r"trait[a-zA-Z0-9_-]{0,64}:([A-Z0-9_]+)")
_WANTED = {"required": True, "forbidden": False}


def _asked(spec: RequestSpec) -> Iterator[tuple[str, bool]]:
    """(trait, whether it must be there) of everything that is asked for."""
    for asked in (spec.extra_specs, spec.image_properties):
        for key, value in asked.items():
            found = _KEY.fullmatch(key)
            if found and value in _WANTED:
                yield found[1], _WANTED[value]


def what_is_lacking(
    hosts: HostColumns, spec: RequestSpec, turned_away: Mask
) -> Sequence[TurnedAway]:
    """Names the trait that each host fails first."""
    return counted_once(
        turned_away,
        (
            (
                _fits(hosts, trait, is_wanted),
                f"{'without' if is_wanted else 'with'} the trait {trait}",
            )
            for trait, is_wanted in _asked(spec)
        ),
    )


@host_filter("TraitsFilter", turned_away=what_is_lacking)
def has_traits(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that have every trait that is required, and none that is forbidden."""
    accepted = np.ones(len(hosts), np.bool_)
    for trait, is_wanted in _asked(spec):
        accepted &= _fits(hosts, trait, is_wanted)
    return accepted


def _fits(hosts: HostColumns, trait: str, is_wanted: bool) -> Mask:
    return hosts.by_hypervisor(lambda each: (trait in each.traits) is is_wanted)

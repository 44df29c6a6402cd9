# SPDX-License-Identifier: Apache-2.0
"""Hosts that the hints of a request ask for: with or without other instances, near an address."""

import ipaddress

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import host_filter
from services.scheduler.host_table import HostColumns, Mask

_DIFFERENT, _SAME = "different_host", "same_host"
_NEAR, _PREFIX = "build_near_host_ip", "cidr"
_DEFAULT_PREFIX = "/24"
_WORD = (1 << 64) - 1


def _first(spec: RequestSpec, hint: str) -> str | None:
    return next(iter(spec.scheduler_hints.get(hint, ())), None)


def _with_named(hosts: HostColumns, spec: RequestSpec, hint: str) -> Mask:
    """Hosts that have one of the instances that a hint names."""
    where = spec.hint_hosts
    return hosts.named(where[uuid] for uuid in spec.scheduler_hints[hint] if uuid in where)


@host_filter("DifferentHostFilter", turned_away="used by instances that it is to be apart from")
def apart_from_instances(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that have none of the instances that the hint `different_host` names."""
    if not spec.scheduler_hints.get(_DIFFERENT):
        return np.ones(len(hosts), np.bool_)
    return ~_with_named(hosts, spec, _DIFFERENT)


@host_filter("SameHostFilter", turned_away="without the instances that it is to be with")
def together_with_instances(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that have one of the instances that the hint `same_host` names."""
    if not spec.scheduler_hints.get(_SAME):
        return np.ones(len(hosts), np.bool_)
    return _with_named(hosts, spec, _SAME)


@host_filter("SimpleCIDRAffinityFilter", turned_away="not near the address that was asked for")
def near_address(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts whose address is in the network of the hint `build_near_host_ip`.

    The hint `cidr` says how long its prefix is; a network that is none has no hosts.
    """
    address = _first(spec, _NEAR)
    if address is None:
        return np.ones(len(hosts), np.bool_)
    prefix = _first(spec, _PREFIX) or _DEFAULT_PREFIX
    try:
        network = ipaddress.ip_network(f"{address}{prefix}", strict=False)
    except ValueError:
        return np.zeros(len(hosts), np.bool_)
    if network.version == 4:
        network = ipaddress.ip_network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    wanted, mask = int(network.network_address), int(network.netmask)
    is_near: Mask = (hosts.ip_high & np.uint64(mask >> 64) == np.uint64(wanted >> 64)) & (
        hosts.ip_low & np.uint64(mask & _WORD) == np.uint64(wanted & _WORD)
    )
    return is_near

# SPDX-License-Identifier: Apache-2.0
"""Hosts that a request names: those it wants, and those it must not have."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import host_filter
from services.scheduler.host_table import HostColumns, Mask


@host_filter("RequestedHostFilter", turned_away="not the requested host")
def is_requested(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """The host, the node or both that were asked for; every host when none was."""
    accepted = np.ones(len(hosts), np.bool_)
    if spec.requested_host is not None:
        accepted &= hosts.named([spec.requested_host])
    if spec.requested_node is not None:
        nodes = (name.node == spec.requested_node for name in hosts.names)
        accepted &= np.fromiter(nodes, np.bool_, len(hosts))
    return accepted


@host_filter(
    "ExcludedHostFilter", turned_away="excluded: it leaves them, or they have failed already"
)
def not_excluded(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts that these instances neither leave nor have failed on."""
    if not spec.excluded_hosts:
        return np.ones(len(hosts), np.bool_)
    return ~hosts.named(spec.excluded_hosts)

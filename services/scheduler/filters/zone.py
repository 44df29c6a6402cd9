# SPDX-License-Identifier: Apache-2.0
"""Hosts in the availability zone that was asked for."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import host_filter
from services.scheduler.host_table import HostColumns, Mask


@host_filter("AvailabilityZoneFilter", turned_away="in another availability zone")
def in_zone(hosts: HostColumns, spec: RequestSpec) -> Mask:
    """Hosts of the zone; every host when none was asked for."""
    if spec.availability_zone is None:
        return np.ones(len(hosts), np.bool_)
    if spec.availability_zone not in hosts.zones:
        return np.zeros(len(hosts), np.bool_)
    return np.equal(hosts.zone, hosts.zones.index(spec.availability_zone))

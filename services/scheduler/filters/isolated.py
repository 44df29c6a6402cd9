# SPDX-License-Identifier: Apache-2.0
"""Hosts kept for certain images, and images kept on certain hosts."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import tuned_filter
from services.scheduler.host_table import HostColumns, Mask
from services.scheduler.settings import Settings


@tuned_filter(
    "IsolatedHostsFilter", turned_away="that are kept for other images, or not for this one"
)
def by_isolation(hosts: HostColumns, spec: RequestSpec, settings: Settings) -> Mask:
    """An isolated image goes to an isolated host only; other images to the other hosts, or to any
    when isolated hosts are not kept free of them.
    """
    isolated = settings.isolated_hosts
    if not isolated and not settings.isolated_images:
        return np.ones(len(hosts), np.bool_)
    is_isolated = hosts.named(isolated)
    if spec.image_id in settings.isolated_images:
        return is_isolated
    if settings.isolated_hosts_for_isolated_images_only:
        return ~is_isolated
    return np.ones(len(hosts), np.bool_)

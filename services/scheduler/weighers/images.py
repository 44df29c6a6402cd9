# SPDX-License-Identifier: Apache-2.0
"""How many instances of a host were booted from images like the one of the request."""

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.host_table import Floats, HostColumns
from services.scheduler.settings import Settings
from services.scheduler.weighers.registry import tuned_weigher


@tuned_weigher("image_props")
def like_images(hosts: HostColumns, spec: RequestSpec, settings: Settings) -> Floats:
    """For each property of the image, how many instances of the host have it with its value,
    times what the property counts.
    """
    weights = settings.image_weights or dict.fromkeys(spec.image_properties, 1.0)
    wanted = [
        (name, value, weights[name])
        for name, value in spec.image_properties.items()
        if weights.get(name)
    ]

    def weight(host: str) -> float:
        counts = hosts.image_counts.get(host, {})
        return sum(counts.get(name, {}).get(value, 0) * times for name, value, times in wanted)

    if not wanted or not hosts.image_counts:
        return np.zeros(len(hosts))
    return np.fromiter((weight(name.host) for name in hosts.names), np.float64, len(hosts))

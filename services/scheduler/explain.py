# SPDX-License-Identifier: Apache-2.0
"""Why no host was left, in words that name numbers."""

from collections.abc import Sequence

import numpy as np

from common.objects.request_spec import RequestSpec
from services.scheduler.filters.registry import Filter
from services.scheduler.host_table import HostColumns


def explain(hosts: HostColumns, spec: RequestSpec, filters: Sequence[Filter]) -> str:
    """How many hosts there are and how many each filter turned away; a host counts for the first
    filter that does. "120 hosts; 80 disabled, 38 without 4096 MiB of free memory (…)"."""
    if not len(hosts):
        return "there are no compute hosts yet"
    left = np.ones(len(hosts), np.bool_)
    answers: list[str] = []
    for filter_ in filters:
        turned_away = left & ~filter_.accepts(hosts, spec)
        if turned_away.any():
            answers += [
                f"{count} {text}"
                for count, text in filter_.explains(hosts, spec, turned_away)
                if count
            ]
            left &= ~turned_away
    number = "1 host" if len(hosts) == 1 else f"{len(hosts)} hosts"
    return f"{number}; " + ", ".join(answers)

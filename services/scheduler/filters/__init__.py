# SPDX-License-Identifier: Apache-2.0
"""Filters: which hosts may take an instance. Names and meaning are those of Nova's filters.

Importing the package registers every filter; `registry.filters_named` finds them.
"""

from services.scheduler.filters import (
    aggregates,
    capabilities,
    capacity,
    dedicated,
    group,
    hints,
    hypervisor,
    image,
    isolated,
    load,
    named,
    query,
    state,
    traits,
    zone,
)

__all__ = [
    "aggregates",
    "capabilities",
    "capacity",
    "dedicated",
    "group",
    "hints",
    "hypervisor",
    "image",
    "isolated",
    "load",
    "named",
    "query",
    "state",
    "traits",
    "zone",
]

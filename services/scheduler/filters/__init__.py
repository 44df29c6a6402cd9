# SPDX-License-Identifier: Apache-2.0
"""Filters: which hosts may take an instance. Names and meaning are those of Nova's filters.

Importing the package registers every filter; `registry.filters_named` finds them.
"""

from services.scheduler.filters import capacity, group, image, named, state, zone

__all__ = ["capacity", "group", "image", "named", "state", "zone"]

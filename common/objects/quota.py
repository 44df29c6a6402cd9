# SPDX-License-Identifier: Apache-2.0
"""Quotas: limits and, where asked for, usage."""

from common.objects.versioned import Versioned


class QuotaSet(Versioned, frozen=True, kw_only=True):
    """Limits by resource (-1: none), with what is in use where that was asked for.

    Resource names are those of the API: instances, cores, ram, key_pairs, metadata_items, …
    """

    scope: str
    limits: dict[str, int]
    in_use: dict[str, int] = {}

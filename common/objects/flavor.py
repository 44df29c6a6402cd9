# SPDX-License-Identifier: Apache-2.0
"""Flavor: how much of a host an instance gets."""

from datetime import datetime

from common.objects.versioned import Versioned


class Flavor(Versioned, frozen=True, kw_only=True):
    """A flavor; an instance keeps a copy of the one it was made with."""

    id: int = 0
    flavorid: str
    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}
    created_at: datetime | None = None
    updated_at: datetime | None = None

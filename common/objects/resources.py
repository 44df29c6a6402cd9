# SPDX-License-Identifier: Apache-2.0
"""Resources: amounts of what hosts have and instances need."""

from common.objects.versioned import Versioned


class Resources(Versioned, frozen=True, kw_only=True):
    """vCPUs, MiB of memory, GiB of disk."""

    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: int = 0

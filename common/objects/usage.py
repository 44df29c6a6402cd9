# SPDX-License-Identifier: Apache-2.0
"""What servers use, over time and on a host."""

from datetime import datetime

from common.objects.versioned import Versioned


class ServerUsage(Versioned, frozen=True, kw_only=True):
    """A server that ran at some time of a period; `ended_at` is None while it is there."""

    uuid: str
    project_id: str
    name: str
    flavor_name: str
    vm_state: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    started_at: datetime
    ended_at: datetime | None = None


class ProjectShare(Versioned, frozen=True, kw_only=True):
    """What the servers of a project may use of a host."""

    project_id: str
    vcpus: int
    memory_mib: int
    disk_gib: int


class HostUsage(Versioned, frozen=True, kw_only=True):
    """How many of the servers that ran in a period are, or were last, on a host."""

    host: str
    servers: int

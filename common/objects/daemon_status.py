# SPDX-License-Identifier: Apache-2.0
"""DaemonStatus: what a daemon says of itself when it is asked over the bus."""

from typing import Any

from common.objects.versioned import Versioned


class DaemonStatus(Versioned, frozen=True, kw_only=True):
    """Health of one daemon process; memory in MiB, uptime in seconds."""

    name: str
    host: str
    release: str
    healthy: bool
    pid: int
    uptime_s: float
    memory_mib: float
    details: dict[str, Any] = {}


class DaemonHealth(Versioned, frozen=True, kw_only=True):
    """A daemon as the conductor saw it when it asked: `latency_ms` is None without an answer."""

    binary: str
    host: str
    latency_ms: float | None = None
    status: DaemonStatus | None = None
    error: str | None = None

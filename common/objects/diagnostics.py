# SPDX-License-Identifier: Apache-2.0
"""What a hypervisor counts of a guest."""

from common.objects.versioned import Versioned
from common.states import PowerState


class DiskCounters(Versioned, frozen=True, kw_only=True):
    """Of one disk, since the guest was started. None: not counted."""

    device: str
    read_bytes: int | None = None
    read_requests: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None
    errors: int | None = None


class NicCounters(Versioned, frozen=True, kw_only=True):
    """Of one network interface, from the guest's side, since it was started. None: not counted."""

    device: str
    mac: str | None = None
    rx_octets: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_drop: int | None = None
    tx_octets: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_drop: int | None = None


class Diagnostics(Versioned, frozen=True, kw_only=True):
    """One look at a guest. `cpu_times_ns` has a virtual CPU's time each; `uptime_s` is None while
    it does not run.
    """

    state: PowerState
    hypervisor: str
    config_drive: bool = False
    uptime_s: int | None = None
    memory_mib: int | None = None
    memory_used_mib: int | None = None
    cpu_times_ns: tuple[int, ...] = ()
    disks: tuple[DiskCounters, ...] = ()
    nics: tuple[NicCounters, ...] = ()

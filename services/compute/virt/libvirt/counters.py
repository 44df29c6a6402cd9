# SPDX-License-Identifier: Apache-2.0
"""What libvirt counts of a guest: one look, with one call to the hypervisor."""

from typing import Any
from xml.etree import ElementTree as ET

from common.objects.diagnostics import Diagnostics, DiskCounters, NicCounters
from common.states import PowerState
from services.compute.virt.libvirt import power

_KIB_A_MIB = 1024


def diagnostics_of(domain: Any, *, hypervisor: str) -> Diagnostics:
    """The counters of `domain`; those of a guest that is off are not there."""
    state = power.state_of(domain)
    [(_, stats)] = domain.connect().domainListGetStats([domain], 0)
    is_on = state in (PowerState.RUNNING, PowerState.PAUSED)
    return Diagnostics(
        state=state,
        hypervisor=hypervisor,
        memory_mib=_mib(stats.get("balloon.maximum")),
        memory_used_mib=_mib(stats.get("balloon.rss")),
        cpu_times_ns=tuple(
            stats.get(f"vcpu.{number}.time", 0) for number in range(stats.get("vcpu.current", 0))
        ) if is_on else (),
        disks=tuple(_disk(stats, f"block.{n}.") for n in range(stats.get("block.count", 0))),
        nics=_nics(domain, stats),
    )  # fmt: skip


def _mib(kib: int | None) -> int | None:
    return None if kib is None else kib // _KIB_A_MIB


def _disk(stats: dict[str, Any], of: str) -> DiskCounters:
    return DiskCounters(
        device=stats[of + "name"],
        read_bytes=stats.get(of + "rd.bytes"),
        read_requests=stats.get(of + "rd.reqs"),
        write_bytes=stats.get(of + "wr.bytes"),
        write_requests=stats.get(of + "wr.reqs"),
        errors=stats.get(of + "errors"),
    )


def _nics(domain: Any, stats: dict[str, Any]) -> tuple[NicCounters, ...]:
    macs = {}
    for nic in ET.fromstring(domain.XMLDesc()).iterfind("devices/interface"):
        target, mac = nic.find("target"), nic.find("mac")
        if target is not None and mac is not None:
            macs[target.get("dev")] = mac.get("address")
    found = []
    for number in range(stats.get("net.count", 0)):
        of = f"net.{number}."
        device = stats[of + "name"]
        found.append(
            NicCounters(
                device=device,
                mac=macs.get(device),
                rx_octets=stats.get(of + "rx.bytes"),
                rx_packets=stats.get(of + "rx.pkts"),
                rx_errors=stats.get(of + "rx.errs"),
                rx_drop=stats.get(of + "rx.drop"),
                tx_octets=stats.get(of + "tx.bytes"),
                tx_packets=stats.get(of + "tx.pkts"),
                tx_errors=stats.get(of + "tx.errs"),
                tx_drop=stats.get(of + "tx.drop"),
            )
        )
    return tuple(found)

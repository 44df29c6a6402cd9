# SPDX-License-Identifier: Apache-2.0
"""What libvirt counts of a container: less than of a machine, and one question for each."""

from typing import Any
from xml.etree import ElementTree as ET

from common.objects.diagnostics import Diagnostics, NicCounters
from common.states import PowerState
from services.compute.virt.libvirt import power

_KIB_A_MIB = 1024


def container_diagnostics(domain: Any) -> Diagnostics:
    """The counters of `domain`; those of one that is off are not there. Its CPUs are counted as
    one, and what its disks do is not counted at all. Raises: libvirtError.
    """
    state = power.state_of(domain)
    if state not in (PowerState.RUNNING, PowerState.PAUSED):
        return Diagnostics(state=state, hypervisor="lxc", memory_mib=domain.info()[1] // _KIB_A_MIB)
    _, most_kib, used_kib, _, cpu_ns = domain.info()
    return Diagnostics(
        state=state,
        hypervisor="lxc",
        memory_mib=most_kib // _KIB_A_MIB,
        memory_used_mib=used_kib // _KIB_A_MIB,
        cpu_times_ns=(cpu_ns,),
        nics=tuple(
            _nic(domain, nic)
            for nic in ET.fromstring(domain.XMLDesc()).iterfind("devices/interface")
        ),
    )


def _nic(domain: Any, nic: ET.Element) -> NicCounters:
    """What went through it, from the container's side."""
    target, mac = nic.find("target"), nic.find("mac")
    device = (target.get("dev") if target is not None else None) or ""
    sent = domain.interfaceStats(device)
    return NicCounters(
        device=device,
        mac=None if mac is None else mac.get("address"),
        rx_octets=sent[0],
        rx_packets=sent[1],
        rx_errors=sent[2],
        rx_drop=sent[3],
        tx_octets=sent[4],
        tx_packets=sent[5],
        tx_errors=sent[6],
        tx_drop=sent[7],
    )

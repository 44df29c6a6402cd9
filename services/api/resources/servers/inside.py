# SPDX-License-Identifier: Apache-2.0
"""What is inside a server: its counters and topology, and the password that it posted."""

import logging
from typing import Any

from common.errors import Conflict, ImageUnacceptable, NotFound, Unavailable
from common.guest_hardware.topology import choose_nodes, choose_topology, page_kib
from common.guest_hardware.wishes import Wishes
from common.objects.diagnostics import Diagnostics, DiskCounters, NicCounters
from common.objects.guest_place import GuestPlace
from common.objects.instance import Instance
from common.rpc.conductor.guest import Guest
from common.rpc.conductor.servers import Servers as ServersRpc
from common.states import PowerState
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY
from services.api.declare.types import TEXT, Field, Plain, Record
from services.api.declare.view import Raw
from services.api.responder import responder

LOG = logging.getLogger(__name__)

_OBJECT = Raw(Plain({"type": "object"}))
_PASSWORD_RULE = "os_compute_api:os-server-password:"
_KIB_A_MIB = 1024
_USUAL_PAGE_KIB = 4
_UNCOUNTED = -1  # how the free form says that something is not counted
_STATES = {
    PowerState.NOSTATE: "pending",
    PowerState.RUNNING: "running",
    PowerState.PAUSED: "paused",
    PowerState.SHUTDOWN: "shutdown",
    PowerState.CRASHED: "crashed",
    PowerState.SUSPENDED: "suspended",
}


class ServerDiagnostics:
    """`/servers/{server_id}/diagnostics`."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @responder(policy="os_compute_api:os-server-diagnostics", query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Show what the hypervisor counts of a server. Raises: InstanceNotReady, NotSupported."""
        found = self._guest.diagnostics(call.caller, server_id)
        return _standard(found) if call.at_least(48) else _free_form(found)


class ServerTopology:
    """`/servers/{server_id}/topology`."""

    def __init__(self, servers: ServersRpc, guest: Guest) -> None:
        self._servers = servers
        self._guest = guest

    @responder(
        policy="compute:server:topology:index", query=ANY_QUERY, returns=_OBJECT, since="2.78"
    )
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Show a server's NUMA nodes, as its flavor and image ask for them.

        Which CPUs of its host they are on, only the host knows, and only administrators see; they
        see nothing of it while the host does not answer.
        """
        server = self._servers.get(call.caller, server_id)
        found = _topology(server)
        if not found["nodes"] or not call.allows("compute:server:topology:host:index"):
            return found
        try:
            place = self._guest.place(call.caller, server_id)
        except (Conflict, NotFound, Unavailable) as silent:
            LOG.info("Where server %s is on its host cannot be told: %s", server_id, silent)
            return found
        return found | {"nodes": [_placed(*each, place) for each in enumerate(found["nodes"])]}


class ServerPassword:
    """`/servers/{server_id}/os-server-password`: what the guest posted to the metadata service."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @responder(
        policy=_PASSWORD_RULE + "show",
        query=ANY_QUERY,
        returns=Raw(Record([Field("password", TEXT)])),
    )
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, str]:
        """Show the password, encrypted by the guest; empty when it has posted none."""
        return {"password": self._guest.posted_password(call.caller, server_id) or ""}

    @responder(policy=_PASSWORD_RULE + "clear", status=204)
    def on_delete(self, call: ApiCall, server_id: str) -> None:
        """Forget the password; the guest keeps it, and may post another."""
        self._guest.forget_password(call.caller, server_id)


def _topology(server: Instance) -> dict[str, Any]:
    wishes, flavor = Wishes(server), server.flavor
    try:
        nodes = choose_nodes(wishes, flavor.vcpus, flavor.memory_mib)
        threads = choose_topology(wishes, flavor.vcpus).threads
        pages = page_kib(wishes, wishes.text("hw:mem_page_size", "hw_mem_page_size"))
    except ImageUnacceptable:  # no host has built it either
        return {"nodes": [], "pagesize_kb": None}
    return {
        "nodes": [
            {
                "memory_mb": node.memory_mib,
                "vcpu_set": sorted(node.cpus),
                "siblings": _siblings(sorted(node.cpus), threads),
            }
            for node in nodes
        ],
        "pagesize_kb": (pages or _USUAL_PAGE_KIB) if nodes else None,
    }


def _placed(number: int, node: dict[str, Any], place: GuestPlace) -> dict[str, Any]:
    """The node with where it is on its host."""
    cpus = {str(cpu): place.pins[cpu] for cpu in node["vcpu_set"] if cpu in place.pins}
    host_node = {"host_node": place.nodes[number]} if number in place.nodes else {}
    return node | host_node | {"cpu_pinning": cpus}


def _siblings(cpus: list[int], threads: int) -> list[list[int]]:
    """CPUs that are threads of one core."""
    if threads == 1:
        return []
    return [cpus[first : first + threads] for first in range(0, len(cpus), threads)]


def _standard(found: Diagnostics) -> dict[str, Any]:
    return {
        "state": _STATES[found.state],
        "driver": "libvirt",
        "hypervisor": found.hypervisor,
        "hypervisor_os": "linux",
        "uptime": found.uptime_s,
        "config_drive": found.config_drive,
        "memory_details": {"maximum": found.memory_mib, "used": found.memory_used_mib},
        "num_cpus": len(found.cpu_times_ns),
        "num_disks": len(found.disks),
        "num_nics": len(found.nics),
        "cpu_details": [
            {"id": number, "time": time_ns, "utilisation": None}
            for number, time_ns in enumerate(found.cpu_times_ns)
        ],
        "disk_details": [_disk(each) for each in found.disks],
        "nic_details": [_nic(each) for each in found.nics],
    }


def _disk(counted: DiskCounters) -> dict[str, Any]:
    return {
        "read_bytes": counted.read_bytes,
        "read_requests": counted.read_requests,
        "write_bytes": counted.write_bytes,
        "write_requests": counted.write_requests,
        "errors_count": counted.errors,
    }


def _nic(counted: NicCounters) -> dict[str, Any]:
    return {
        "mac_address": counted.mac,
        "rx_octets": counted.rx_octets,
        "rx_packets": counted.rx_packets,
        "rx_errors": counted.rx_errors,
        "rx_drop": counted.rx_drop,
        "rx_rate": None,
        "tx_octets": counted.tx_octets,
        "tx_packets": counted.tx_packets,
        "tx_errors": counted.tx_errors,
        "tx_drop": counted.tx_drop,
        "tx_rate": None,
    }


def _free_form(found: Diagnostics) -> dict[str, Any]:
    """As libvirt's driver always put it: keys are made of the devices' names."""
    shown: dict[str, Any] = {
        f"cpu{number}_time": time_ns for number, time_ns in enumerate(found.cpu_times_ns)
    }
    if found.memory_mib is not None:
        shown["memory"] = found.memory_mib * _KIB_A_MIB
    if found.memory_used_mib is not None:
        shown["memory-rss"] = found.memory_used_mib * _KIB_A_MIB
    for disk in found.disks:
        shown |= {
            f"{disk.device}_read": _or_uncounted(disk.read_bytes),
            f"{disk.device}_read_req": _or_uncounted(disk.read_requests),
            f"{disk.device}_write": _or_uncounted(disk.write_bytes),
            f"{disk.device}_write_req": _or_uncounted(disk.write_requests),
            f"{disk.device}_errors": _or_uncounted(disk.errors),
        }
    for nic in found.nics:
        shown |= {
            f"{nic.device}_rx": _or_uncounted(nic.rx_octets),
            f"{nic.device}_rx_packets": _or_uncounted(nic.rx_packets),
            f"{nic.device}_rx_errors": _or_uncounted(nic.rx_errors),
            f"{nic.device}_rx_drop": _or_uncounted(nic.rx_drop),
            f"{nic.device}_tx": _or_uncounted(nic.tx_octets),
            f"{nic.device}_tx_packets": _or_uncounted(nic.tx_packets),
            f"{nic.device}_tx_errors": _or_uncounted(nic.tx_errors),
            f"{nic.device}_tx_drop": _or_uncounted(nic.tx_drop),
        }
    return shown


def _or_uncounted(count: int | None) -> int:
    return _UNCOUNTED if count is None else count

# SPDX-License-Identifier: Apache-2.0
"""`/os-hypervisors`: compute nodes and what they have."""

import json
from typing import Any

from common.errors import HostNotFound, Invalid, NotSupported
from common.ids import is_uuid_like
from common.objects.compute_node import ComputeNode
from common.rpc.conductor.hosts import Hosts
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, PAGING, Query
from services.api.declare.types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    TEXT_OR_NULL,
    UUID,
    Array,
    Field,
    Plain,
    enum,
    is_true,
    string,
)
from services.api.declare.view import ABSENT, Listing, One, Raw, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-hypervisors:"
_OBJECT = Plain({"type": "object"})
_DETAILS_UNTIL = "2.87"
_PATTERN = "hypervisor_hostname_pattern"


class Node:
    """A compute node with what an answer adds to it: its servers, when they are asked for."""

    def __init__(self, node: ComputeNode, servers: list[list[str]] | None = None) -> None:
        self.node = node
        self.servers = servers

    @property
    def name(self) -> str:
        """The hypervisor's host name."""
        return self.node.report.node


def _servers(shown: Node, call: ApiCall) -> Any:
    if not shown.servers:
        return ABSENT
    return [{"uuid": uuid, "name": name} for uuid, name in shown.servers]


def _service(shown: Node, call: ApiCall) -> dict[str, Any]:
    node = shown.node
    return {
        "id": node.service_uuid if call.at_least(53) else node.service_id,
        "host": node.report.host,
        "disabled_reason": node.disabled_reason,
    }


def _cpu_info(shown: Node, call: ApiCall) -> Any:
    info = shown.node.report.cpu_info
    return info if call.at_least(28) else json.dumps(info)


def _free_disk(shown: Node, call: ApiCall) -> int:
    return shown.node.report.total.disk_gib - shown.node.claimed.disk_gib


def _used_memory(shown: Node, call: ApiCall) -> int:
    return shown.node.claimed.memory_mib + shown.node.report.reserved.memory_mib


def _free_memory(shown: Node, call: ApiCall) -> int:
    return shown.node.report.total.memory_mib - _used_memory(shown, call)


def _old(name: str, source: Any, type_: Any = INTEGER) -> Shown:
    return Shown(name, type_, source, until=_DETAILS_UNTIL)


_CORE = [
    Shown("id", INTEGER, "node.id", until="2.52"),
    Shown("id", UUID, "node.report.uuid", since="2.53"),
    Shown("hypervisor_hostname", TEXT, "name"),
    Shown("state", enum("up", "down"), lambda shown, call: "up" if shown.node.is_up else "down"),
    Shown("status", enum("enabled", "disabled"),
          lambda shown, call: "disabled" if shown.node.disabled else "enabled"),
]  # fmt: skip
_WITH_SERVERS = Shown("servers", Array(_OBJECT), _servers, since="2.53")
BRIEF = View("hypervisor-brief", [*_CORE, _WITH_SERVERS])
WITH_SERVERS = View("hypervisor-servers", [*_CORE, Shown("servers", Array(_OBJECT), _servers)])
DETAIL = View("hypervisor", [
    *_CORE,
    Shown("hypervisor_type", TEXT, "node.report.hypervisor_type"),
    Shown("hypervisor_version", INTEGER, "node.report.hypervisor_version"),
    Shown("host_ip", TEXT_OR_NULL, "node.report.host_ip"),
    Shown("service", _OBJECT, _service),
    _WITH_SERVERS,
    Shown("uptime", TEXT_OR_NULL, "node.report.uptime", since="2.88"),
    _old("cpu_info", _cpu_info, Plain({"type": ["string", "object"]})),
    _old("vcpus", "node.report.total.vcpus"),
    _old("vcpus_used", "node.claimed.vcpus"),
    _old("memory_mb", "node.report.total.memory_mib"),
    _old("memory_mb_used", _used_memory),
    _old("free_ram_mb", _free_memory),
    _old("local_gb", "node.report.total.disk_gib"),
    _old("local_gb_used", "node.claimed.disk_gib"),
    _old("free_disk_gb", _free_disk),
    _old("disk_available_least", "node.report.free_disk_gib"),
    _old("running_vms", "node.instances"),
    _old("current_workload", "node.building"),
])  # fmt: skip
UPTIME = View("hypervisor-uptime", [*_CORE, Shown("uptime", TEXT_OR_NULL, "node.report.uptime")])
LIST = Query("hypervisor-list", [
    *(Field(f.name, f.type, since="2.33") for f in PAGING),
    Field(_PATTERN, string(1, 255, pattern="^[a-zA-Z0-9-._]*$"), since="2.53"),
    Field("with_servers", BOOLEAN, since="2.53"),
], strict_since="2.53", once_since="2.53")  # fmt: skip
SHOW = Query("hypervisor-show", [Field("with_servers", BOOLEAN, since="2.53")],
             strict_since="2.53", once_since="2.53")  # fmt: skip


def _marker(shown: Node, call: ApiCall) -> str:
    return shown.node.report.uuid if call.at_least(53) else str(shown.node.id)


class Hypervisors:
    """`/os-hypervisors`, its details and sums."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @responder(
        policy=_RULE + "list",
        query=LIST,
        returns=Listing("hypervisors", BRIEF, paged_since="2.33", marker=_marker),
    )
    def on_get(self, call: ApiCall) -> list[Node]:
        """List hypervisors."""
        return self._list(call)

    @responder(
        policy=_RULE + "list-detail",
        query=LIST,
        returns=Listing("hypervisors", DETAIL, paged_since="2.33", marker=_marker),
    )
    def on_get_detail(self, call: ApiCall) -> list[Node]:
        """List hypervisors with details."""
        return self._list(call)

    @responder(
        policy=_RULE + "statistics",
        query=LENIENT_QUERY,
        returns=Raw(_OBJECT),
        until=_DETAILS_UNTIL,
    )
    def on_get_statistics(self, call: ApiCall) -> dict[str, Any]:
        """Add up what all enabled hypervisors have."""
        show = DETAIL.shower(call)
        shown = [
            show(Node(node)) for node in self._hosts.compute_nodes(call.caller) if not node.disabled
        ]
        summed = (
            "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb",
            "local_gb_used", "free_disk_gb", "disk_available_least", "running_vms",
            "current_workload",
        )  # fmt: skip
        sums = {name: sum(each[name] for each in shown) for name in summed}
        return {"hypervisor_statistics": {"count": len(shown), **sums}}

    def _list(self, call: ApiCall) -> list[Node]:
        pattern, paged = call.single(_PATTERN), call.at_least(33)
        if pattern and ("limit" in call.query or "marker" in call.query):
            raise Invalid(f"Paging over hypervisors with the {_PATTERN} query parameter is not "
                          "supported.")  # fmt: skip
        nodes = self._hosts.compute_nodes(
            call.caller,
            hostname_pattern=pattern,
            limit=call.page_limit() if paged and not pattern else None,
            marker=call.single("marker") if paged else None,
        )
        if pattern and not nodes:
            raise HostNotFound(f"No hypervisor matching '{pattern}' could be found.")
        return _with_servers(self._hosts, call, nodes)


class HypervisorById:
    """`/os-hypervisors/{hypervisor_id}`."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @responder(policy=_RULE + "show", query=SHOW, returns=One("hypervisor", DETAIL))
    def on_get(self, call: ApiCall, hypervisor_id: str) -> Node:
        """Show a hypervisor."""
        node = _find(self._hosts, call, hypervisor_id)
        return _with_servers(self._hosts, call, [node])[0]

    @responder(
        policy=_RULE + "uptime",
        query=LENIENT_QUERY,
        returns=One("hypervisor", UPTIME),
        until=_DETAILS_UNTIL,
    )
    def on_get_uptime(self, call: ApiCall, hypervisor_id: str) -> Node:
        """Show how long a hypervisor's host runs."""
        node = _find(self._hosts, call, hypervisor_id)
        if not node.is_up:
            raise Invalid(f"Compute service of {node.report.host} is unavailable at this time.")
        if node.report.uptime is None:
            raise NotSupported()
        return Node(node)

    @responder(
        policy=_RULE + "search",
        query=LENIENT_QUERY,
        returns=Listing("hypervisors", BRIEF),
        until="2.52",
    )
    def on_get_search(self, call: ApiCall, hypervisor_id: str) -> list[Node]:
        """Find hypervisors by a part of their name."""
        return [Node(node) for node in self._matching(call, hypervisor_id)]

    @responder(
        policy=_RULE + "servers",
        query=LENIENT_QUERY,
        returns=Listing("hypervisors", WITH_SERVERS),
        until="2.52",
    )
    def on_get_servers(self, call: ApiCall, hypervisor_id: str) -> list[Node]:
        """Find hypervisors by a part of their name, with their servers."""
        nodes = self._matching(call, hypervisor_id)
        servers = self._hosts.instances_on(call.caller, [node.report.host for node in nodes])
        return [Node(node, servers.get(node.report.host)) for node in nodes]

    def _matching(self, call: ApiCall, pattern: str) -> list[ComputeNode]:
        nodes = self._hosts.compute_nodes(call.caller, hostname_pattern=pattern)
        if not nodes:
            raise HostNotFound(f"No hypervisor matching '{pattern}' could be found.")
        return nodes


def _find(hosts: Hosts, call: ApiCall, given: str) -> ComputeNode:
    """By number below 2.53, by uuid from there. Raises: Invalid, HostNotFound."""
    if call.at_least(53):
        if not is_uuid_like(given):
            raise Invalid(f"Invalid uuid {given}")
    elif not given.isdigit():
        raise HostNotFound(f"Hypervisor with ID '{given}' could not be found.")
    try:
        return hosts.compute_node(call.caller, given)
    except HostNotFound as missing:
        raise HostNotFound(f"Hypervisor with ID '{given}' could not be found.") from missing


def _with_servers(hosts: Hosts, call: ApiCall, nodes: list[ComputeNode]) -> list[Node]:
    if not is_true(call.single("with_servers")):
        return [Node(node) for node in nodes]
    servers = hosts.instances_on(call.caller, [node.report.host for node in nodes])
    return [Node(node, servers.get(node.report.host)) for node in nodes]

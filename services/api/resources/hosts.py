# SPDX-License-Identifier: Apache-2.0
"""`/os-hosts`, up to 2.42: hosts by name, from before `/os-hypervisors` and `/os-services`.

Power and maintenance are the hosts' drivers': one that lacks them is answered for with 501.
"""

from typing import Any

from common.errors import HostNotFound
from common.objects.compute_node import ComputeNode
from common.objects.host_power import HostPowerAction
from common.rpc.conductor.host_power import HostPower
from common.rpc.conductor.hosts import Hosts as HostsRpc
from common.rpc.conductor.usage import Usage
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, Body, Query
from services.api.declare.types import TEXT, Field, Plain, enum
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:os-hosts:"
_UNTIL = "2.42"
_OBJECT = Raw(Plain({"type": "object"}))
_COMPUTE = "nova-compute"
_SWITCH = enum("enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE")
LIST = Query("host-list", [Field("zone", TEXT)], strict_since=None)
UPDATE = Body.bare("host-update", Plain({
    "type": "object",
    "properties": {"status": _SWITCH.schema(1), "maintenance_mode": _SWITCH.schema(1)},
    "anyOf": [{"required": ["status"]}, {"required": ["maintenance_mode"]}],
    "additionalProperties": False,
}))  # fmt: skip


class Hosts:
    """`/os-hosts`."""

    def __init__(self, hosts: HostsRpc) -> None:
        self._hosts = hosts

    @responder(policy=_RULE + "list", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List hosts with the services on them."""
        zone = call.single("zone")
        shown = [
            {
                "host_name": each.host,
                "service": each.binary.removeprefix("nova-"),
                "zone": each.availability_zone or "internal",
            }
            for each in self._hosts.services(call.caller)
        ]
        return {"hosts": [each for each in shown if not zone or each["zone"] == zone]}


class HostByName:
    """`/os-hosts/{host_name}`."""

    def __init__(self, hosts: HostsRpc, power: HostPower, usage: Usage) -> None:
        self._hosts, self._power, self._usage = hosts, power, usage

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, host_name: str) -> dict[str, Any]:
        """Show what a host has, what is in use, and whose that is."""
        node = self._find(call, host_name)
        shares = self._usage.on_host(call.caller, host_name)
        most = [sum(s.vcpus for s in shares), sum(s.memory_mib for s in shares),
                sum(s.disk_gib for s in shares)]  # fmt: skip
        total, used, reserved = node.report.total, node.claimed, node.report.reserved
        lines = [
            ("(total)", total.vcpus, total.memory_mib, total.disk_gib),
            ("(used_now)", used.vcpus, used.memory_mib + reserved.memory_mib, used.disk_gib),
            ("(used_max)", *most),
            *((s.project_id, s.vcpus, s.memory_mib, s.disk_gib) for s in shares),
        ]
        return {
            "host": [
                {
                    "resource": {
                        "host": host_name, "project": project, "cpu": vcpus,
                        "memory_mb": memory, "disk_gb": disk,
                    }
                }
                for project, vcpus, memory, disk in lines
            ]
        }  # fmt: skip

    @responder(policy=_RULE + "update", body=UPDATE, returns=_OBJECT, until=_UNTIL)
    def on_put(self, call: ApiCall, host_name: str) -> dict[str, Any]:
        """Have a host take new servers or none, and begin or end its maintenance.

        Raises: NotSupported (maintenance, by a driver that has none).
        """
        self._find(call, host_name)
        shown = {"host": host_name}
        if "status" in call.body:
            is_disabled = call.body["status"].lower() == "disable"
            self._hosts.update_service(
                call.caller, host=host_name, binary=_COMPUTE, disabled=is_disabled
            )
            shown["status"] = "disabled" if is_disabled else "enabled"
        if "maintenance_mode" in call.body:
            on = call.body["maintenance_mode"].lower() == "enable"
            self._power.set_maintenance(call.caller, host_name, on=on)
            shown["maintenance_mode"] = "on_maintenance" if on else "off_maintenance"
        return shown

    @responder(policy=_RULE + "reboot", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get_reboot(self, call: ApiCall, host_name: str) -> dict[str, Any]:
        """Power a host off and on. Raises: NotSupported."""
        return self._do(call, host_name, HostPowerAction.REBOOT)

    @responder(policy=_RULE + "shutdown", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get_shutdown(self, call: ApiCall, host_name: str) -> dict[str, Any]:
        """Power a host off. Raises: NotSupported."""
        return self._do(call, host_name, HostPowerAction.SHUTDOWN)

    @responder(policy=_RULE + "start", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get_startup(self, call: ApiCall, host_name: str) -> dict[str, Any]:
        """Power a host on. Raises: NotSupported."""
        return self._do(call, host_name, HostPowerAction.STARTUP)

    def _do(self, call: ApiCall, host_name: str, action: HostPowerAction) -> dict[str, Any]:
        self._find(call, host_name)
        self._power.power(call.caller, host_name, action=action)
        return {"host": host_name, "power_action": action.value}

    def _find(self, call: ApiCall, host_name: str) -> ComputeNode:
        nodes = self._hosts.compute_nodes(call.caller)
        found = next((each for each in nodes if each.report.host == host_name), None)
        if found is None:
            raise HostNotFound(host=host_name)
        return found

# SPDX-License-Identifier: Apache-2.0
"""Actions on a server's security groups and addresses.

Groups and floating IPs are changed in the network service with the caller's own token; the
conductor then reads the server's interfaces anew.
"""

from typing import Any

from common.errors import Conflict, Invalid, NotFound, SecurityGroupNotFound
from common.rpc.conductor.interfaces import Interfaces
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.network_gateway import Document, NetworkGateway, path_of
from services.api.resources.servers import bodies
from services.api.responder import responder

_GROUPS_RULE = "os_compute_api:os-security-groups:"
_FLOATING_RULE = "os_compute_api:os-floating-ips:"
_FIXED_RULE = "os_compute_api:os-multinic:"
_UNTIL = "2.43"


class NetworkingActions:
    """addSecurityGroup, removeSecurityGroup, addFloatingIp, removeFloatingIp,
    addFixedIp, removeFixedIp.
    """

    def __init__(
        self, servers: ServersRpc, interfaces: Interfaces, networks: NetworkGateway
    ) -> None:
        self._servers = servers
        self._interfaces = interfaces
        self._networks = networks

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "addSecurityGroup": self.add_security_group,
            "removeSecurityGroup": self.remove_security_group,
            "addFloatingIp": self.add_floating_ip,
            "removeFloatingIp": self.remove_floating_ip,
            "addFixedIp": self.add_fixed_ip,
            "removeFixedIp": self.remove_fixed_ip,
        }

    @responder(policy=_GROUPS_RULE + "add", body=bodies.ADD_SECURITY_GROUP, status=202)
    def add_security_group(self, call: ApiCall, server_id: str) -> None:
        """Put a server's ports into a security group."""
        server = self._servers.get(call.caller, server_id)
        group = self._group(call, call.body["name"])
        for port in self._ports(call, server.uuid):
            if not (port.get("port_security_enabled", True) and port.get("fixed_ips")):
                raise Invalid(
                    "Network requires port_security_enabled and subnet associated in order to "
                    "apply security groups."
                )
            if group not in port["security_groups"]:
                self._set_groups(call, port, [*port["security_groups"], group])
        self._interfaces.refresh(call.caller, server_id)

    @responder(policy=_GROUPS_RULE + "remove", body=bodies.REMOVE_SECURITY_GROUP, status=202)
    def remove_security_group(self, call: ApiCall, server_id: str) -> None:
        """Take a server's ports out of a security group."""
        server = self._servers.get(call.caller, server_id)
        name = call.body["name"]
        group = self._group(call, name)
        ports = self._ports(call, server.uuid)
        members = [port for port in ports if group in port.get("security_groups", ())]
        if not members:
            raise NotFound(f"Security group {name} not associated with the instance {server_id}")
        for port in members:
            self._set_groups(call, port, [g for g in port["security_groups"] if g != group])
        self._interfaces.refresh(call.caller, server_id)

    @responder(policy=_FLOATING_RULE + "add", body=bodies.ADD_FLOATING_IP, status=202, until=_UNTIL)
    def add_floating_ip(self, call: ApiCall, server_id: str) -> None:
        """Have a floating IP stand for an address of a server."""
        server = self._servers.get(call.caller, server_id)
        floating = self._floating_ip(call, call.body["address"])
        own = [
            (port["id"], ip["ip_address"])
            for port in self._networks.ports_of(call, server.uuid)
            for ip in port.get("fixed_ips", ())
        ]
        wanted = call.body.get("fixed_address")
        usable = [pair for pair in own if ":" not in pair[1] and wanted in (None, pair[1])]
        if not own:
            raise Invalid("No fixed IPs associated to instance")
        if not usable:
            reason = "Specified fixed address not assigned to instance"
            raise Invalid(reason if wanted else "No IPv4 address associated to instance")
        self._point(call, floating, {"port_id": usable[0][0], "fixed_ip_address": usable[0][1]})
        self._interfaces.refresh(call.caller, server_id)

    @responder(
        policy=_FLOATING_RULE + "remove",
        body=bodies.REMOVE_FLOATING_IP,
        status=202,
        until=_UNTIL,
    )
    def remove_floating_ip(self, call: ApiCall, server_id: str) -> None:
        """Have a floating IP stand for no address of a server any more."""
        server = self._servers.get(call.caller, server_id)
        address = call.body["address"]
        floating = self._floating_ip(call, address)
        ports = {port["id"] for port in self._networks.ports_of(call, server.uuid)}
        if floating.get("port_id") not in ports:
            raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
        self._point(call, floating, {"port_id": None})
        self._interfaces.refresh(call.caller, server_id)

    @responder(policy=_FIXED_RULE + "add", body=bodies.ADD_FIXED_IP, status=202, until=_UNTIL)
    def add_fixed_ip(self, call: ApiCall, server_id: str) -> None:
        """Give a server's port on a network one more address."""
        network_id = str(call.body["networkId"])
        self._interfaces.add_fixed_ip(call.caller, server_id, network_id=network_id)

    @responder(policy=_FIXED_RULE + "remove", body=bodies.REMOVE_FIXED_IP, status=202, until=_UNTIL)
    def remove_fixed_ip(self, call: ApiCall, server_id: str) -> None:
        """Take an address from a server's port."""
        address = call.body["address"]
        self._interfaces.remove_fixed_ip(call.caller, server_id, address=address)

    def _group(self, call: ApiCall, name: str) -> str:
        """The id of the caller's group of that name or id. Raises: NotFound, Conflict."""
        groups = self._networks.listed(call, "security-groups", tenant_id=call.caller.project_id)
        ids = [str(group["id"]) for group in groups if group["id"] == name]
        ids = ids or [str(group["id"]) for group in groups if group["name"] == name]
        if not ids:
            raise SecurityGroupNotFound(group=name)
        if len(ids) > 1:
            raise Conflict(
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        return ids[0]

    def _ports(self, call: ApiCall, server: str) -> list[Document]:
        """The server's ports. Raises: NotFound (it has none, so groups have nothing to hold on)."""
        ports = self._networks.ports_of(call, server)
        if not ports:
            raise NotFound(f"Instance {server} is the device of no port.")
        return ports

    def _set_groups(self, call: ApiCall, port: Document, groups: list[str]) -> None:
        body = {"port": {"security_groups": groups}}
        self._networks.ask(call, "PUT", path_of("ports", port["id"]), json=body)

    def _floating_ip(self, call: ApiCall, address: str) -> Document:
        found = self._networks.listed(call, "floatingips", floating_ip_address=address)
        if not found:
            raise NotFound(f"Floating IP not found for address {address}.")
        return found[0]

    def _point(self, call: ApiCall, floating: Document, to: dict[str, Any]) -> None:
        path = path_of("floatingips", floating["id"])
        self._networks.ask(call, "PUT", path, json={"floatingip": to})

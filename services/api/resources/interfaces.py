# SPDX-License-Identifier: Apache-2.0
"""`/servers/{server_id}/os-interface`: the ports of a server."""

from typing import Any

from common.errors import NotFound, PortNotFound
from common.objects.instance import Instance
from common.rpc.conductor.interfaces import Interfaces
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, Body
from services.api.declare.types import TEXT, TEXT_OR_NULL, UUID, Array, Field, Plain, Record
from services.api.declare.view import Listing, One, Shown, View
from services.api.lookups import Lookups
from services.api.network_gateway import Document, NetworkGateway
from services.api.resources.servers.bodies import ANY_IP, TAG_TEXT
from services.api.responder import responder
from services.api.waiting import result_of

_RULE = "os_compute_api:os-attach-interfaces:"
CREATE = Body.bare("interface-create", Record([Field("interfaceAttachment", Record([
    Field("net_id", UUID, required=False),
    Field("port_id", UUID, required=False),
    Field("fixed_ips", Array(Record([Field("ip_address", ANY_IP)]), least=1, most=1),
          required=False),
    Field("tag", TAG_TEXT, since="2.49", required=False),
]), required=False)]))  # fmt: skip


def _of(name: str) -> Any:
    return lambda shown, call: shown[name]


INTERFACE = View("interface-attachment", [
    Shown("port_id", UUID, _of("id")),
    Shown("net_id", UUID, _of("network_id")),
    Shown("mac_addr", TEXT, _of("mac_address")),
    Shown("port_state", TEXT, _of("status")),
    Shown("fixed_ips", Array(Plain({"type": "object"})), _of("fixed_ips")),
    Shown("tag", TEXT_OR_NULL, _of("tag"), since="2.70"),
])  # fmt: skip


class InterfaceAttachments:
    """`/servers/{server_id}/os-interface`."""

    def __init__(
        self,
        servers: ServersRpc,
        interfaces: Interfaces,
        networks: NetworkGateway,
        lookups: Lookups,
    ) -> None:
        self._servers = servers
        self._interfaces = interfaces
        self._networks = networks
        self._lookups = lookups

    @responder(
        policy=_RULE + "list",
        query=ANY_QUERY,
        returns=Listing("interfaceAttachments", INTERFACE),
    )
    def on_get(self, call: ApiCall, server_id: str) -> list[Document]:
        """List a server's ports."""
        server = self._servers.get(call.caller, server_id)
        ports = self._networks.ports_of(call, server.uuid)
        return [tagged(port, server) for port in in_order(ports, server)]

    @responder(policy=_RULE + "create", body=CREATE, returns=One("interfaceAttachment", INTERFACE))
    def on_post(self, call: ApiCall, server_id: str) -> Document:
        """Attach one more port to a server, and wait for it."""
        self._servers.get(call.caller, server_id)
        wanted = self._lookups.interface(call, call.body.get("interfaceAttachment", {}))
        task = self._interfaces.attach(call.caller, server_id, wanted=wanted)
        port_id = result_of(
            lambda: self._interfaces.attached(call.caller, server_id, task=task),
            not_yet="The interface is not attached yet",
        )
        self._interfaces.refresh(call.caller, server_id)
        port = self._networks.one(call, "ports", port_id, PortNotFound(port=port_id))
        return {**port, "tag": wanted.tag}


class InterfaceAttachment:
    """`/servers/{server_id}/os-interface/{port_id}`."""

    def __init__(
        self, servers: ServersRpc, interfaces: Interfaces, networks: NetworkGateway
    ) -> None:
        self._servers = servers
        self._interfaces = interfaces
        self._networks = networks

    @responder(
        policy=_RULE + "show", query=ANY_QUERY, returns=One("interfaceAttachment", INTERFACE)
    )
    def on_get(self, call: ApiCall, server_id: str, port_id: str) -> Document:
        """Show one of a server's ports."""
        server = self._servers.get(call.caller, server_id)
        port = self._networks.one(call, "ports", port_id, PortNotFound(port=port_id))
        if port["device_id"] != server.uuid:
            raise NotFound(f"Instance {server_id} does not have a port with id {port_id}")
        return tagged(port, server)

    @responder(policy=_RULE + "delete", status=202)
    def on_delete(self, call: ApiCall, server_id: str, port_id: str) -> None:
        """Detach a port from a server."""
        self._interfaces.detach(call.caller, server_id, port_id=port_id)


def in_order(ports: list[Document], server: Instance) -> list[Document]:
    """Ports in the order of the server's interfaces, unknown ones last."""
    places = {vif.port_id: place for place, vif in enumerate(server.vifs)}
    return sorted(ports, key=lambda port: places.get(port["id"], len(places)))


def tagged(port: Document, server: Instance) -> Document:
    """A port with the tag that its interface has."""
    tag = next((vif.tag for vif in server.vifs if vif.port_id == port["id"]), None)
    return {**port, "tag": tag}

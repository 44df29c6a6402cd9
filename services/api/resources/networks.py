# SPDX-License-Identifier: Apache-2.0
"""Networks as the Compute API showed them until 2.35: the network service's, by their names."""

from typing import Any

from common.errors import NetworkNotFound
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY
from services.api.declare.types import Plain
from services.api.declare.view import Raw
from services.api.gone import answer_gone
from services.api.network_gateway import Document, NetworkGateway
from services.api.responder import responder

_UNTIL = "2.35"
_OBJECT = Raw(Plain({"type": "object"}))
_RULE = "os_compute_api:os-networks:"
_TENANT_RULE = "os_compute_api:os-tenant-networks:"
# What networks of the compute service had; those of the network service have it elsewhere.
_FIELDS = (
    "cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6",
    "netmask_v6",
)  # fmt: skip
_ADMIN_FIELDS = (
    "created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan",
    "vpn_public_address", "vpn_public_port", "vpn_private_address", "dhcp_start", "project_id",
    "host", "bridge_interface", "multi_host", "priority", "rxtx_base", "mtu", "dhcp_server",
    "enable_dhcp", "share_address",
)  # fmt: skip


class _Networks:
    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    def _all(self, call: ApiCall) -> list[Document]:
        return self._networks.listed(call, "networks")

    def _one(self, call: ApiCall, network_id: str) -> Document:
        return self._networks.one(call, "networks", network_id, NetworkNotFound(network=network_id))


class Networks(_Networks):
    """`/os-networks`."""

    @responder(policy=_RULE + "list", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List networks."""
        return {"networks": [_show(network, call) for network in self._all(call)]}

    on_post = answer_gone


class NetworkById(_Networks):
    """`/os-networks/{network_id}`."""

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, network_id: str) -> dict[str, Any]:
        """Show a network."""
        return {"network": _show(self._one(call, network_id), call)}

    on_delete = answer_gone


class TenantNetworks(_Networks):
    """`/os-tenant-networks`."""

    @responder(policy=_TENANT_RULE + "list", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List the networks that a project can use."""
        return {"networks": [_show_brief(network) for network in self._all(call)]}

    on_post = answer_gone


class TenantNetworkById(_Networks):
    """`/os-tenant-networks/{network_id}`."""

    @responder(policy=_TENANT_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, network_id: str) -> dict[str, Any]:
        """Show a network that a project can use."""
        return {"network": _show_brief(self._one(call, network_id))}

    on_delete = answer_gone


def _show(network: Document, call: ApiCall) -> dict[str, Any]:
    fields = (*_FIELDS, *_ADMIN_FIELDS) if call.caller.is_admin else _FIELDS
    return {**dict.fromkeys(fields), **_named(network)}


def _show_brief(network: Document) -> dict[str, Any]:
    # A network has several subnets; the word stands where a single one's range would.
    return {**_named(network), "cidr": "None"}


def _named(network: Document) -> dict[str, Any]:
    return {"id": network["id"], "label": network.get("name") or ""}

# SPDX-License-Identifier: Apache-2.0
"""Floating IPs as the Compute API showed them until 2.35, and their pools: external networks."""

from typing import Any

from common.errors import NotFound
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, Body
from services.api.declare.types import Plain
from services.api.declare.view import Raw
from services.api.network_gateway import Document, NetworkConflict, NetworkGateway, path_of
from services.api.responder import responder

_UNTIL = "2.35"
_OBJECT = Raw(Plain({"type": "object"}))
_RULE = "os_compute_api:os-floating-ips:"
CREATE = Body.bare(
    "floating-ip-create",
    Plain({"type": ["object", "null"], "properties": {"pool": {"type": ["string", "null"]}}}),
)


class FloatingIpPools:
    """`/os-floating-ip-pools`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(
        policy="os_compute_api:os-floating-ip-pools",
        query=LENIENT_QUERY,
        returns=_OBJECT,
        until=_UNTIL,
    )
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List the pools of floating IPs."""
        return {
            "floating_ip_pools": [
                {"name": _pool_name(network)} for network in _pools(self._networks, call)
            ]
        }


class FloatingIps:
    """`/os-floating-ips`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "list", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List a project's floating IPs."""
        found = self._networks.listed(call, "floatingips", tenant_id=call.caller.project_id)
        return {"floating_ips": _show_all(self._networks, call, found)}

    @responder(policy=_RULE + "create", body=CREATE, returns=_OBJECT, until=_UNTIL)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Take a floating IP from a pool."""
        wanted = (call.body or {}).get("pool")
        pools = _pools(self._networks, call)
        pool = next((p for p in pools if wanted in (None, p["id"], p.get("name"))), None)
        if pool is None:
            raise NotFound("Floating IP pool not found.")
        body = {"floatingip": {"floating_network_id": pool["id"]}}
        try:
            made = self._networks.ask(call, "POST", "/floatingips", json=body)
        except NetworkConflict as exhausted:
            pool_name = _pool_name(pool)
            raise NotFound(f"No more floating IPs in pool {pool_name}.") from exhausted
        return {"floating_ip": _show_all(self._networks, call, [made["floatingip"]])[0]}


class FloatingIpById:
    """`/os-floating-ips/{floating_ip_id}`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, floating_ip_id: str) -> dict[str, Any]:
        """Show a floating IP."""
        missing = _missing(floating_ip_id)
        found = self._networks.one(call, "floatingips", floating_ip_id, missing)
        return {"floating_ip": _show_all(self._networks, call, [found])[0]}

    @responder(policy=_RULE + "delete", status=202, until=_UNTIL)
    def on_delete(self, call: ApiCall, floating_ip_id: str) -> None:
        """Give a floating IP back to its pool."""
        path = path_of("floatingips", floating_ip_id)
        self._networks.ask(call, "DELETE", path, missing=_missing(floating_ip_id))


def _missing(floating_ip_id: str) -> NotFound:
    return NotFound(f"Floating IP not found for ID {floating_ip_id}")


def _pools(networks: NetworkGateway, call: ApiCall) -> list[Document]:
    return networks.listed(call, "networks", **{"router:external": "True"})


def _pool_name(network: Document) -> str:
    return str(network.get("name") or network["id"])


def _show_all(
    networks: NetworkGateway, call: ApiCall, found: list[Document]
) -> list[dict[str, Any]]:
    """Floating IPs with the servers behind them: two calls whatever their number."""
    port_ids = sorted({each["port_id"] for each in found if each.get("port_id")})
    ports = {}
    if port_ids:
        ports = {port["id"]: port for port in networks.listed(call, "ports", id=port_ids)}
    pools = networks.networks_of(call, {each["floating_network_id"] for each in found})
    shown = []
    for each in found:
        network_id = each["floating_network_id"]
        shown.append(
            {
                "id": each["id"],
                "ip": each["floating_ip_address"],
                "fixed_ip": each.get("fixed_ip_address"),
                "instance_id": ports.get(each.get("port_id"), {}).get("device_id") or None,
                "pool": _pool_name(pools.get(network_id, {"id": network_id})),
            }
        )
    return shown

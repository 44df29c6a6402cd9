# SPDX-License-Identifier: Apache-2.0
"""network_data.json: links, networks and services of a guest."""

import ipaddress
from typing import Any

from common.objects.network import FixedIp, VirtualInterface

# Binding types that a guest may be told; any other link is called physical.
_LINK_TYPES = frozenset(("bridge", "dvs", "hw_veb", "hyperv", "ovs", "tap", "vhostuser", "vif"))
_ANY = {4: "0.0.0.0", 6: "::"}


def network_data(vifs: tuple[VirtualInterface, ...]) -> dict[str, Any]:
    """The document; empty for a guest without network.

    Of each port only the first IPv4 and the first IPv6 address are described: the format gives a
    guest one network of each family a link.
    """
    if not vifs:
        return {}
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for index, vif in enumerate(vifs):
        link_id = vif.device or f"interface{index}"
        links.append(_link(vif, link_id))
        for fixed_ip in _first_of_each_family(vif.fixed_ips):
            networks.append(_network(fixed_ip, vif, link_id, f"network{len(networks)}"))
        services += [s for ip in vif.fixed_ips for s in _dns(ip) if s not in services]
    return {"links": links, "networks": networks, "services": services}


def _link(vif: VirtualInterface, link_id: str) -> dict[str, Any]:
    # A DHCP server tells the MTU itself; naming it here as well could only contradict it.
    has_dhcp = any(ip.dhcp for ip in vif.fixed_ips)
    return {
        "id": link_id,
        "vif_id": vif.port_id,
        "type": vif.vif_type if vif.vif_type in _LINK_TYPES else "phy",
        "mtu": None if has_dhcp else vif.mtu,
        "ethernet_mac_address": vif.mac,
    }


def _first_of_each_family(fixed_ips: tuple[FixedIp, ...]) -> list[FixedIp]:
    firsts = (next((ip for ip in fixed_ips if ip.version == v), None) for v in (4, 6))
    return [ip for ip in firsts if ip is not None]


def _network(
    fixed_ip: FixedIp, vif: VirtualInterface, link_id: str, network_id: str
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": network_id,
        "type": _type(fixed_ip),
        "link": link_id,
        "network_id": vif.network_id,
    }
    if fixed_ip.dhcp and fixed_ip.version == 4:
        return described
    return described | {
        "ip_address": fixed_ip.address,
        "netmask": _netmask(fixed_ip),
        "routes": _routes(fixed_ip),
        "services": _dns(fixed_ip),
    }


def _type(fixed_ip: FixedIp) -> str:
    """How the guest gets its address: `ipv6_slaac`, for instance, or plainly what it is."""
    kind = f"ipv{fixed_ip.version}"
    if not fixed_ip.dhcp:
        return kind
    if fixed_ip.version == 6 and fixed_ip.address_mode:
        return f"{kind}_{fixed_ip.address_mode}"
    return f"{kind}_dhcp"


def _routes(fixed_ip: FixedIp) -> list[dict[str, str]]:
    routes = []
    if fixed_ip.gateway:
        nowhere = _ANY[fixed_ip.version]
        routes.append({"network": nowhere, "netmask": nowhere, "gateway": fixed_ip.gateway})
    for route in fixed_ip.routes:
        target = ipaddress.ip_network(route["destination"], strict=False)
        routes.append(
            {
                "network": str(target.network_address),
                "netmask": _written_out(target),
                "gateway": route["nexthop"],
            }
        )
    return routes


def _netmask(fixed_ip: FixedIp) -> str:
    whole = 32 if fixed_ip.version == 4 else 128
    cidr = fixed_ip.cidr or f"{fixed_ip.address}/{whole}"
    return _written_out(ipaddress.ip_network(cidr, strict=False))


def _written_out(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.netmask)


def _dns(fixed_ip: FixedIp) -> list[dict[str, str]]:
    return [{"type": "dns", "address": server} for server in fixed_ip.dns]

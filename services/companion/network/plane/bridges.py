# SPDX-License-Identifier: Apache-2.0
"""One Linux bridge a network, with the host's addresses on it.

Ours are known by their alias, so that no other bridge is ever touched.
"""

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.companion.network import addresses
from services.companion.network.plane.desired import Bridge
from services.companion.network.plane.namespace import Namespace
from services.companion.network.plane.ruleset import METADATA_ADDRESS

_ALIAS = "kilonova network "
_BRIDGE_PARAMETERS = Path("/proc/sys/net/bridge")
_FORWARDING = (
    ("/proc/sys/net/ipv4/ip_forward", "1"),
    # Bridged packets pass the inet rules, too.
    ("/proc/sys/net/bridge/bridge-nf-call-iptables", "1"),
    ("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1"),
)
_FORWARDING_IPV6 = "/proc/sys/net/ipv6/conf/all/forwarding"


def apply(namespace: Namespace, bridges: Sequence[Bridge]) -> None:
    """Make bridges and addresses as wanted, remove ours that are not. Raises CommandFailed."""
    if not _BRIDGE_PARAMETERS.exists():
        namespace.run("modprobe", "br_netfilter")
    for path, value in _FORWARDING:
        namespace.write(path, value)
    if namespace.is_own and any(bridge.has_ipv6 for bridge in bridges):
        # Not on the machine itself: it may have its own way out from a router's announcements,
        # which a machine that forwards no longer listens to.
        namespace.write(_FORWARDING_IPV6, "1")
    known = _ours(namespace)
    wanted = {bridge.name: bridge for bridge in bridges}
    changes = [f"link del {name}" for name in known if name not in wanted]
    for name, bridge in wanted.items():
        changes += _changes(bridge, known.get(name))
    if changes:
        namespace.run("ip", "-batch", "-", stdin="\n".join(changes) + "\n")


def purge(namespace: Namespace) -> list[str]:
    """Remove every bridge of ours; their names."""
    names = sorted(_ours(namespace))
    if names:
        changes = "".join(f"link del {name}\n" for name in names)
        namespace.run("ip", "-batch", "-", stdin=changes)
    return names


def foreign_networks(namespace: Namespace) -> list[ipaddress.IPv4Network]:
    """IPv4 networks that the host itself is connected or routed to, default routes left out."""
    ours = _ours(namespace)
    found = [
        f"{address['local']}/{address['prefixlen']}"
        for link in namespace.json("ip", "-j", "-4", "addr", "show")
        if link.get("ifname") not in ours
        for address in link.get("addr_info", ())
    ]
    found += [
        route["dst"]
        for route in namespace.json("ip", "-j", "-4", "route", "show")
        if route.get("dev") not in ours and route.get("dst") != "default"
    ]
    networks = (ipaddress.IPv4Network(text, strict=False) for text in found)
    return [network for network in networks if not network.is_loopback]


def _ours(namespace: Namespace) -> dict[str, dict[str, Any]]:
    """Our bridges as they are, with their addresses."""
    # `ip` prints the alias with links only, the addresses with addresses only.
    links = namespace.json("ip", "-j", "-d", "link", "show", "type", "bridge")
    ours = {
        link["ifname"] for link in links if str(link.get("ifalias", "")).startswith(_ALIAS)
    }  # fmt: skip
    shown = namespace.json("ip", "-j", "addr", "show", "type", "bridge")
    return {link["ifname"]: link for link in shown if link.get("ifname") in ours}


def _changes(bridge: Bridge, known: dict[str, Any] | None) -> list[str]:
    """Lines for `ip -batch` that make the bridge as wanted."""
    name = bridge.name
    lines: list[str] = []
    if known is None:
        # A MAC of its own, or it would take that of whichever tap has the lowest.
        lines.append(
            f"link add {name} address {_mac(bridge.network_id)} type bridge stp_state 0 "
            "forward_delay 0"
        )
        lines.append(f'link set {name} alias "{_ALIAS}{bridge.network_id}"')
        lines.append(f"link set {name} addrgenmode none")
    if known is None or known.get("mtu") != bridge.mtu:
        lines.append(f"link set {name} mtu {bridge.mtu}")
    if known is None or "UP" not in known.get("flags", ()):
        lines.append(f"link set {name} up")
    return lines + _address_changes(name, _wanted_addresses(bridge), known)


def _wanted_addresses(bridge: Bridge) -> list[str]:
    """In order: what is redirected goes to a device's first address."""
    found = [subnet.interface for subnet in bridge.subnets]
    # The host answers for floating IPs; what comes for them is sent on before it is taken in.
    found += [f"{address}/32" for address in bridge.floating_ips]
    if any(subnet.version == 4 for subnet in bridge.subnets):
        found.append(f"{METADATA_ADDRESS}/32")
    if bridge.has_ipv6:
        # Routers are announced from link-local addresses.
        found.append(addresses.from_mac("fe80::/64", _mac(bridge.network_id)) + "/64")
    return found


def _address_changes(name: str, wanted: Sequence[str], known: dict[str, Any] | None) -> list[str]:
    present = [
        f"{address['local']}/{address['prefixlen']}"
        for address in (known or {}).get("addr_info", ())
    ]
    gone = [f"addr del {address} dev {name}" for address in present if address not in wanted]
    new = [
        # It is ours alone: nobody needs to be asked first, and it serves at once.
        f"addr add {address} dev {name}" + (" nodad" if ":" in address else "")
        for address in wanted
        if address not in present
    ]
    return [*gone, *new]


def _mac(network_id: str) -> str:
    digits = network_id.replace("-", "")[:8]
    return "fe:16:" + ":".join(digits[i : i + 2] for i in range(0, 8, 2))

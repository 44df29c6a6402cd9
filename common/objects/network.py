# SPDX-License-Identifier: Apache-2.0
"""Networks as asked for, and virtual interfaces as made."""

from typing import Any

from common.objects.versioned import Versioned


class RequestedNetwork(Versioned, frozen=True, kw_only=True):
    """One NIC that a request asks for: a network (a port is made) or a port that exists."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class FixedIp(Versioned, frozen=True, kw_only=True):
    """An address of a port, with what a guest needs to use it.

    `address_mode`: how an IPv6 guest gets it (slaac, dhcpv6-stateful, dhcpv6-stateless); empty when
    nobody tells it.
    """

    address: str
    version: int = 4
    subnet_id: str = ""
    cidr: str = ""
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    routes: tuple[dict[str, str], ...] = ()
    dhcp: bool = True
    address_mode: str = ""
    floating_ips: tuple[str, ...] = ()


class VirtualInterface(Versioned, frozen=True, kw_only=True):
    """A port of an instance, as the network service bound it.

    `device` is the host-side device (tap) name, `bridge` the bridge it joins; both from the port's
    binding. `created` says that kilonova made the port and deletes it with the instance. `active`:
    the network service has it plugged, or will never, as was seen when the port was bound.
    """

    port_id: str
    network_id: str
    network_label: str = ""
    mac: str
    fixed_ips: tuple[FixedIp, ...] = ()
    mtu: int | None = None
    vif_type: str = "unbound"
    vif_details: dict[str, Any] = {}
    vnic_type: str = "normal"
    device: str = ""
    bridge: str | None = None
    created: bool = True
    tag: str | None = None
    security_groups: tuple[str, ...] = ()
    active: bool = True

# SPDX-License-Identifier: Apache-2.0
"""The network service (Network API v2.0): ports of instances, and what users may use.

Creating a port again for the same instance and NIC finds the port of the first time by its
device_id and name, so a repeated step makes no second one.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from common.clients.session import Refused, ServiceSession
from common.clock import Clock, SystemClock
from common.errors import (
    Conflict,
    ExternalNetworkForbidden,
    FixedIpInUse,
    Invalid,
    KilonovaError,
    NetworkAmbiguous,
    NetworkNotFound,
    NoMoreAddresses,
    PortInUse,
    PortLimitExceeded,
    PortNotFound,
    PortNotUsableDns,
    SecurityGroupNotFound,
)
from common.objects.network import FixedIp, RequestedNetwork, VirtualInterface

_TYPE, _VERSION = "network", "v2.0"
_NETWORK_CACHE_S = 30
_EXTENSIONS_CACHE_S = 600
_DEVICE_NAME_LENGTH = 14
_OWNER_PREFIX = "compute:"
# Ports that get their address later, or never, and are meant so.
_NO_ADDRESS_YET = ("deferred", "none")


class NetworkClient:
    """Ports of instances, with kilonova's own credentials."""

    def __init__(self, session: ServiceSession, clock: Clock | None = None) -> None:
        self._session = session
        self._clock = clock or SystemClock()
        self._networks: dict[str, tuple[float, dict[str, Any], list[dict[str, Any]]]] = {}
        self._has_dns: tuple[float, bool] | None = None
        self._lock = threading.Lock()

    def plug(
        self,
        *,
        instance: str,
        project_id: str,
        host: str,
        zone: str,
        requested: Sequence[RequestedNetwork],
        security_groups: Sequence[str],
        hostname: str = "",
    ) -> tuple[VirtualInterface, ...]:
        """Make or bind one port for each requested NIC, in order.

        `security_groups` are names or ids of the project's groups; none: the default one.
        `hostname` becomes the ports' name in DNS where the service has that; empty: it stays.
        Again: ports made for the instance before are found and used.
        Raises: NetworkNotFound, PortNotFound, PortInUse, NoMoreAddresses, SecurityGroupNotFound,
        Invalid, Unavailable.
        """
        existing = {port["name"]: port for port in self._ports(device_id=instance)}
        group_ids = self._group_ids(project_id, security_groups)
        binding = _binding(instance, host, zone) | self._dns_name(hostname, requested)
        more: dict[str, Any] = {"project_id": project_id}
        if group_ids:
            more["security_groups"] = group_ids
        return tuple(
            self._plug_one(instance, binding, wanted, existing, str(index), more)
            for index, wanted in enumerate(requested)
        )

    def attach(
        self,
        *,
        instance: str,
        project_id: str,
        host: str,
        zone: str,
        wanted: RequestedNetwork,
        key: str,
        hostname: str = "",
    ) -> VirtualInterface:
        """Make or bind one more port; its name ends in `key`, its name in DNS is `hostname`.

        Again, with the same key: the port of the first time.
        Raises: NetworkNotFound, PortNotFound, PortInUse, FixedIpInUse, NoMoreAddresses,
        PortLimitExceeded, Invalid, Unavailable.
        """
        existing = {port["name"]: port for port in self._ports(device_id=instance)}
        binding = _binding(instance, host, zone) | self._dns_name(hostname, [wanted])
        more = {"project_id": project_id}
        return self._plug_one(instance, binding, wanted, existing, key, more)

    def _plug_one(
        self,
        instance: str,
        binding: dict[str, Any],
        wanted: RequestedNetwork,
        existing: Mapping[str, dict[str, Any]],
        key: str,
        more: Mapping[str, Any],
    ) -> VirtualInterface:
        if wanted.port_id:
            port = self._bind(wanted.port_id, instance, binding)
        else:
            name = _port_name(instance, key)
            port = existing.get(name) or self._create(
                {
                    **binding,
                    **more,
                    "name": name,
                    "network_id": wanted.network_id,
                    "admin_state_up": True,
                    **_fixed(wanted),
                }
            )
        return self._interface(port, created=wanted.port_id is None, tag=wanted.tag)

    def unplug(self, instance: str) -> None:
        """Delete the ports that `plug` made for the instance, unbind the others.

        Again: what is gone already is fine. Raises: Unavailable.
        """
        for port in self._ports(device_id=instance):
            self._release(port, instance)

    def detach(self, instance: str, *, port_id: str | None = None, key: str = "") -> None:
        """Delete or unbind one of the instance's ports: that id, or the one made with that key.

        Again: what is gone already is fine. Raises: Unavailable.
        """
        for port in self._ports(device_id=instance):
            if port["id"] == port_id or (key and port["name"] == _port_name(instance, key)):
                self._release(port, instance)

    def _release(self, port: dict[str, Any], instance: str) -> None:
        path = f"/ports/{port['id']}"
        try:
            if _is_made_by_us(port, instance):
                self._call("DELETE", path)
            else:
                free = {"device_id": "", "device_owner": "", "binding:host_id": ""}
                if port.get("dns_name"):
                    free["dns_name"] = ""
                self._call("PUT", path, {"port": free})
        except Refused as refused:
            if refused.status != 404:
                raise

    def add_fixed_ip(self, instance: str, network_id: str) -> None:
        """Give the instance's port on the network one more address.

        Again: yet another one. Raises: NetworkNotFound (no port on it), NoMoreAddresses,
        Unavailable.
        """
        ports = self._ports(device_id=instance, network_id=network_id)
        if not ports:
            raise NetworkNotFound(network=network_id)
        port, (_, subnets) = ports[0], self._network(ports[0]["network_id"])
        for subnet in sorted(subnets, key=lambda each: int(each["ip_version"])):
            wanted = [*port["fixed_ips"], {"subnet_id": subnet["id"]}]
            try:
                self._call("PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": wanted}})
            except Refused:  # this subnet is full; another may not be
                continue
            return
        raise NoMoreAddresses(network=network_id)

    def remove_fixed_ip(self, instance: str, address: str) -> None:
        """Take an address from the instance's port that has it.

        Raises: Invalid (none has), Unavailable.
        """
        for port in self._ports(device_id=instance):
            left = [ip for ip in port["fixed_ips"] if ip["ip_address"] != address]
            if len(left) < len(port["fixed_ips"]):
                self._call("PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": left}})
                return
        raise Invalid(f"Instance {instance} does not have fixed IP '{address}'.")

    def interfaces(
        self, instance: str, known: Sequence[VirtualInterface] = ()
    ) -> tuple[VirtualInterface, ...]:
        """The instance's ports as they are now, in the order of `known`, others behind them.

        Raises: Unavailable.
        """
        ports = {port["id"]: port for port in self._ports(device_id=instance)}
        floating = self._floating_ips(list(ports))
        before = {vif.port_id: vif for vif in known}
        found = []
        for port_id in (*(each for each in before if each in ports), *(ports.keys() - before)):
            port, vif = ports[port_id], before.get(port_id)
            found.append(
                self._interface(
                    port,
                    created=vif.created if vif else _is_made_by_us(port, instance),
                    tag=vif.tag if vif else None,
                    floating=floating,
                )
            )
        return tuple(found)

    def active_ports(self, instance: str) -> frozenset[str]:
        """Ids of the instance's ports that need not be waited for. Raises: Unavailable."""
        return frozenset(p["id"] for p in self._ports(device_id=instance) if _is_plugged(p))

    def group_names(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Names of security groups, sorted. Raises: Unavailable."""
        wanted = sorted(set(ids))
        if not wanted:
            return ()
        found = self._call("GET", "/security-groups", params={"id": wanted})["security_groups"]
        return tuple(sorted({str(group["name"]) for group in found}))

    def _floating_ips(self, port_ids: list[str]) -> dict[tuple[str, str], list[str]]:
        """Floating addresses by port and fixed address; none where the service has no routers."""
        if not port_ids:
            return {}
        try:
            found = self._call("GET", "/floatingips", params={"port_id": port_ids})
        except Refused:
            return {}
        shown: dict[tuple[str, str], list[str]] = {}
        for each in found["floatingips"]:
            place = (each["port_id"], each["fixed_ip_address"])
            shown.setdefault(place, []).append(each["floating_ip_address"])
        return shown

    def _dns_name(self, hostname: str, requested: Sequence[RequestedNetwork]) -> dict[str, str]:
        """The name in DNS, where the network service knows about that."""
        if not hostname or not requested:
            return {}
        with self._lock:
            known = self._has_dns
        if known is None or self._clock.monotonic() - known[0] > _EXTENSIONS_CACHE_S:
            known = (self._clock.monotonic(), self._has("dns-integration"))
            with self._lock:
                self._has_dns = known
        return {"dns_name": hostname} if known[1] else {}

    def _has(self, extension: str) -> bool:
        try:
            self._call("GET", f"/extensions/{extension}")
        except Refused:
            return False
        return True

    def _group_ids(self, project_id: str, names: Sequence[str]) -> list[str]:
        """Ids of the project's groups; none for the default one, which ports get by themselves."""
        if not names or tuple(names) == ("default",):
            return []
        found = self._call("GET", "/security-groups", params={"tenant_id": project_id})
        return [_group_id(name, found["security_groups"]) for name in names]

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._call("POST", "/ports", {"port": body})["port"]  # type: ignore[no-any-return]
        except Refused as refused:
            raise _port_error(refused, body) from refused

    def _bind(self, port_id: str, instance: str, binding: dict[str, Any]) -> dict[str, Any]:
        path = f"/ports/{quote(port_id, safe='')}"
        try:
            port = self._call("GET", path)["port"]
            if port.get("device_id") not in ("", None, instance):
                raise PortInUse(port=port_id)
            name, hostname = port.get("dns_name"), binding.get("dns_name")
            if name and hostname and name != hostname:
                raise PortNotUsableDns(
                    port=port_id, instance=instance, value=name, hostname=hostname
                )
            return self._call("PUT", path, {"port": binding})["port"]  # type: ignore[no-any-return]
        except Refused as refused:
            raise PortNotFound(port=port_id) from refused

    def _ports(self, **filters: Any) -> list[dict[str, Any]]:
        return self._call("GET", "/ports", params=filters)["ports"]  # type: ignore[no-any-return]

    def _interface(
        self,
        port: dict[str, Any],
        *,
        created: bool,
        tag: str | None,
        floating: Mapping[tuple[str, str], list[str]] = MappingProxyType({}),
    ) -> VirtualInterface:
        network, subnets = self._network(port["network_id"])
        details = port.get("binding:vif_details") or {}
        return VirtualInterface(
            port_id=port["id"],
            network_id=port["network_id"],
            network_label=network.get("name") or "",
            mac=port["mac_address"],
            fixed_ips=tuple(
                _fixed_ip(ip, subnets, floating.get((port["id"], ip["ip_address"]), ()))
                for ip in port.get("fixed_ips", ())
            ),
            mtu=network.get("mtu"),
            vif_type=port.get("binding:vif_type") or "unbound",
            vif_details=details,
            vnic_type=port.get("binding:vnic_type") or "normal",
            device=f"tap{port['id']}"[:_DEVICE_NAME_LENGTH],
            bridge=details.get("bridge_name"),
            created=created,
            tag=tag,
            security_groups=tuple(port.get("security_groups") or ()),
            active=_is_plugged(port),
        )

    def _network(self, network_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        now = self._clock.monotonic()
        with self._lock:
            kept = self._networks.get(network_id)
        if kept and now - kept[0] < _NETWORK_CACHE_S:
            return kept[1], kept[2]
        network = self._call("GET", f"/networks/{network_id}")["network"]
        subnets = self._call("GET", "/subnets", params={"network_id": network_id})["subnets"]
        with self._lock:
            self._networks[network_id] = (now, network, subnets)
        return network, subnets

    def _call(self, method: str, path: str, body: Any = None, params: Any = None) -> Any:
        options = {k: v for k, v in (("json", body), ("params", params)) if v is not None}
        response = self._session.request(_TYPE, _VERSION, method, path, **options)
        return response.json() if response.content else None


class UserNetworkClient:
    """What a user asked for, checked with the user's own token."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def check(
        self,
        token: str,
        requested: Iterable[RequestedNetwork],
        *,
        may_attach_external: bool = False,
    ) -> tuple[RequestedNetwork, ...]:
        """The requested NICs, each known to exist and usable by the user.

        External networks that are not shared take `may_attach_external`; else Forbidden.
        Raises: NetworkNotFound, PortNotFound, PortInUse, FixedIpInUse, Invalid (a network has no
        subnet, a port no address), Unavailable. Whether an address is in range is left to the
        network service.
        """
        wanted = tuple(requested)
        ids = {w.network_id for w in wanted if w.network_id and not w.port_id}
        if ids:
            found = self._get(token, "/networks", [("id", i) for i in sorted(ids)])
            for missing in ids - {network["id"] for network in found}:
                raise NetworkNotFound(network=missing)
            for network in found:
                _check_network(network, may_attach_external=may_attach_external)
        for nic in wanted:
            if nic.port_id:
                self._check_port(token, nic.port_id)
            elif nic.network_id and nic.fixed_ip:
                self._check_address(token, nic.network_id, nic.fixed_ip)
        return wanted

    def _check_port(self, token: str, port_id: str) -> None:
        ports = self._get(token, "/ports", [("id", port_id)])
        if not ports:
            raise PortNotFound(port=port_id)
        if ports[0].get("device_id"):
            raise PortInUse(port=port_id)
        if not ports[0].get("fixed_ips") and ports[0].get("ip_allocation") not in _NO_ADDRESS_YET:
            raise Invalid(f"Port {port_id} requires a FixedIP in order to be used.")

    def _check_address(self, token: str, network_id: str, address: str) -> None:
        fixed = ("fixed_ips", f"ip_address={address}")
        if self._get(token, "/ports", [("network_id", network_id), fixed]):
            raise FixedIpInUse(address=address)

    def only_network(self, token: str, project_id: str) -> str | None:
        """The one network that the project can use without naming it; None when there is none.

        Its own networks count first, shared ones when it has none of its own.
        Raises: NetworkAmbiguous, Unavailable.
        """
        up = [("admin_state_up", "True")]
        own = self._get(token, "/networks", [*up, ("tenant_id", project_id), ("shared", "False")])
        usable = [n for n in own if n.get("subnets") and not n.get("router:external")]
        if not usable:
            shared = self._get(token, "/networks", [*up, ("shared", "True")])
            usable = [n for n in shared if n.get("subnets") and not n.get("router:external")]
        if len(usable) > 1:
            raise NetworkAmbiguous()
        return usable[0]["id"] if usable else None

    def allocated_network(self, token: str, project_id: str) -> str:
        """The network that the network service makes for a project that has none.

        Again: the same network. Raises: Invalid (it cannot, or does not know how), Unavailable.
        """
        try:
            found = self.request(token, "GET", f"/auto-allocated-topology/{project_id}").json()
        except Refused as refused:
            reason = "" if refused.status == 404 else f": {refused}"
            raise Invalid(
                f"Unable to automatically allocate a network for project {project_id}{reason}"
            ) from refused
        return str(found["auto_allocated_topology"]["id"])

    def security_group_ids(
        self, token: str, project_id: str, names: Sequence[str]
    ) -> tuple[str, ...]:
        """Ids of the project's groups given by name or id.

        Raises: SecurityGroupNotFound, Invalid (a name that two groups have), Unavailable.
        """
        if not names:
            return ()
        groups = self._get(token, "/security-groups", [("tenant_id", project_id)])
        return tuple(_group_id(name, groups) for name in names)

    def request(self, token: str, method: str, path: str, **options: Any) -> Any:
        """Any other call of the user's, as the proxies of the Compute API need them.

        `path` is below `/v2.0`. Raises: Refused, Unavailable.
        """
        return self._session.request(_TYPE, _VERSION, method, path, token=token, **options)

    def _get(
        self, token: str, path: str, params: Sequence[tuple[str, str | None]]
    ) -> list[dict[str, Any]]:
        response = self._session.request(
            _TYPE, _VERSION, "GET", path, token=token, params=list(params)
        )
        return list(next(iter(response.json().values())))


def _check_network(network: dict[str, Any], *, may_attach_external: bool) -> None:
    if not network.get("subnets"):
        raise Invalid(f"Network {network['id']} requires a subnet in order to boot instances on.")
    is_open = network.get("shared") or not network.get("router:external")
    if not is_open and not may_attach_external:
        raise ExternalNetworkForbidden(network=network["id"])


def _group_id(name: str, groups: list[dict[str, Any]]) -> str:
    found = [g["id"] for g in groups if name in (g["id"], g["name"])]
    if not found:
        raise SecurityGroupNotFound(group=name)
    if len(found) > 1:
        raise Conflict(
            f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
        )
    return str(found[0])


def _is_plugged(port: Mapping[str, Any]) -> bool:
    """Whether traffic passes, or is not meant to: a port that is switched off stays DOWN."""
    return port.get("status") == "ACTIVE" or port.get("admin_state_up") is False


def _port_name(instance: str, index: int | str) -> str:
    return f"kilonova-{instance}-{index}"


def _is_made_by_us(port: dict[str, Any], instance: str) -> bool:
    return str(port["name"]).startswith(_port_name(instance, ""))


def _fixed(wanted: RequestedNetwork) -> dict[str, Any]:
    return {"fixed_ips": [{"ip_address": wanted.fixed_ip}]} if wanted.fixed_ip else {}


def _binding(instance: str, host: str, zone: str) -> dict[str, Any]:
    return {
        "device_id": instance,
        "device_owner": _OWNER_PREFIX + zone,
        "binding:host_id": host,
    }


def _port_error(refused: Refused, asked: dict[str, Any]) -> KilonovaError:
    network_id = asked["network_id"]
    if refused.error_type == "OverQuota":
        return PortLimitExceeded()
    if refused.error_type in ("IpAddressAlreadyAllocated", "IpAddressInUse"):
        return FixedIpInUse(address=asked["fixed_ips"][0]["ip_address"])
    if refused.error_type == "IpAddressGenerationFailure":
        return NoMoreAddresses(network=network_id)
    if refused.error_type == "NetworkNotFound" or refused.status == 404:
        return NetworkNotFound(network=network_id)
    return Invalid(f"The network service refused the port: {refused}")


def _fixed_ip(
    ip: dict[str, Any], subnets: list[dict[str, Any]], floating: Sequence[str]
) -> FixedIp:
    subnet: dict[str, Any] = next((s for s in subnets if s["id"] == ip.get("subnet_id")), {})
    return FixedIp(
        address=ip["ip_address"],
        version=subnet.get("ip_version", 6 if ":" in ip["ip_address"] else 4),
        subnet_id=ip.get("subnet_id") or "",
        cidr=subnet.get("cidr", ""),
        gateway=subnet.get("gateway_ip"),
        dns=tuple(subnet.get("dns_nameservers") or ()),
        routes=tuple(subnet.get("host_routes") or ()),
        dhcp=subnet.get("enable_dhcp", True),
        address_mode=subnet.get("ipv6_address_mode") or "",
        floating_ips=tuple(floating),
    )

# SPDX-License-Identifier: Apache-2.0
"""Security groups as the Compute API showed them until 2.35, and those of a server."""

import ipaddress
from typing import Any

from common.errors import Invalid, SecurityGroupNotFound
from common.ids import is_uuid_like
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY, LENIENT_QUERY, LIMIT, Body, Query
from services.api.declare.types import ANYTHING, TEXT, UUID, Field, Plain, Record, string
from services.api.declare.view import Raw
from services.api.network_gateway import Document, NetworkGateway, path_of
from services.api.responder import responder

_UNTIL = "2.35"
_OBJECT = Raw(Plain({"type": "object"}))
_RULE = "os_compute_api:os-security-groups:"
_ANY_PORT = -1
_LAST_PORT = 65535

LIST = Query("security-group-list", [
    Field("limit", LIMIT), Field("offset", LIMIT), Field("all_tenants", TEXT),
], strict_since=None)  # fmt: skip
_GROUP = Record(
    [Field("name", string(0, 255)), Field("description", string(0, 255))], additional=True
)
WRITE = Body.bare("security-group", Record([Field("security_group", _GROUP)], additional=True))
CREATE_RULE = Body.bare("security-group-rule-create", Record([Field("security_group_rule", Record([
    Field("parent_group_id", UUID),
    Field("group_id", string(form="uuid", null=True), required=False),
    *(Field(name, ANYTHING, required=False)
      for name in ("to_port", "from_port", "ip_protocol", "cidr")),
], additional=True))], additional=True))  # fmt: skip


class SecurityGroups:
    """`/os-security-groups`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "get", query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List security groups."""
        everywhere = call.caller.is_admin and call.single("all_tenants") in ("1", "True", "true")
        owner = {} if everywhere else {"tenant_id": call.caller.project_id}
        found = self._networks.listed(call, "security-groups", **owner)
        start = int(call.single("offset") or 0)
        page = found[start : start + call.page_limit()]
        return {"security_groups": [_show(group, _names(found)) for group in page]}

    @responder(policy=_RULE + "create", body=WRITE, returns=_OBJECT, until=_UNTIL)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Create a security group."""
        made = self._networks.ask(call, "POST", "/security-groups", json=_written(call.body))
        return {"security_group": _show(made["security_group"], {})}


class SecurityGroupById:
    """`/os-security-groups/{group_id}`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "show", query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, group_id: str) -> dict[str, Any]:
        """Show a security group."""
        group = self._find(call, group_id)
        return {"security_group": _show(group, _remote_names(self._networks, call, group))}

    @responder(policy=_RULE + "update", body=WRITE, returns=_OBJECT, until=_UNTIL)
    def on_put(self, call: ApiCall, group_id: str) -> dict[str, Any]:
        """Rename a security group."""
        path = path_of("security-groups", _uuid(group_id))
        missing = SecurityGroupNotFound(group=group_id)
        body = _written(call.body)
        changed = self._networks.ask(call, "PUT", path, missing=missing, json=body)
        group = changed["security_group"]
        return {"security_group": _show(group, _remote_names(self._networks, call, group))}

    @responder(policy=_RULE + "delete", status=202, until=_UNTIL)
    def on_delete(self, call: ApiCall, group_id: str) -> None:
        """Delete a security group."""
        path = path_of("security-groups", _uuid(group_id))
        missing = SecurityGroupNotFound(group=group_id)
        self._networks.ask(call, "DELETE", path, missing=missing)

    def _find(self, call: ApiCall, group_id: str) -> Document:
        missing = SecurityGroupNotFound(group=group_id)
        return self._networks.one(call, "security-groups", _uuid(group_id), missing)


class SecurityGroupRules:
    """`/os-security-group-rules`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "rule:create", body=CREATE_RULE, returns=_OBJECT, until=_UNTIL)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Add a rule for what comes in."""
        asked = call.body["security_group_rule"]
        missing = SecurityGroupNotFound(group=asked.get("group_id") or asked["parent_group_id"])
        body = {"security_group_rule": _new_rule(asked)}
        path = "/security-group-rules"
        made = self._networks.ask(call, "POST", path, missing=missing, json=body)[
            "security_group_rule"
        ]
        names = _remote_names(self._networks, call, {"security_group_rules": [made]})
        return {"security_group_rule": _show_rule(made, names)}


class SecurityGroupRuleById:
    """`/os-security-group-rules/{rule_id}`."""

    def __init__(self, networks: NetworkGateway) -> None:
        self._networks = networks

    @responder(policy=_RULE + "rule:delete", status=202, until=_UNTIL)
    def on_delete(self, call: ApiCall, rule_id: str) -> None:
        """Delete a rule."""
        missing = SecurityGroupNotFound(f"Security group rule {rule_id} not found.")
        path = path_of("security-group-rules", _uuid(rule_id))
        self._networks.ask(call, "DELETE", path, missing=missing)


class ServerSecurityGroups:
    """`/servers/{server_id}/os-security-groups`."""

    def __init__(self, servers: ServersRpc, networks: NetworkGateway) -> None:
        self._servers = servers
        self._networks = networks

    @responder(policy=_RULE + "list", query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """List the security groups of a server's ports."""
        server = self._servers.get(call.caller, server_id)
        ports = self._networks.ports_of(call, server.uuid)
        ids = sorted({group for port in ports for group in port.get("security_groups", ())})
        found = self._networks.listed(call, "security-groups", id=ids) if ids else []
        return {"security_groups": [_show(group, _names(found)) for group in found]}


def _uuid(text: str) -> str:
    if not text:
        raise SecurityGroupNotFound(group=text)
    if not is_uuid_like(text):
        raise Invalid("Security group id should be uuid")
    return text


def _written(body: dict[str, Any]) -> dict[str, Any]:
    group = body["security_group"]
    return {"security_group": {name: group[name] for name in ("name", "description")}}


def _new_rule(asked: dict[str, Any]) -> dict[str, Any]:
    """The rule as the network service takes it. Raises: Invalid."""
    if asked.get("group_id") is None and not asked.get("cidr"):
        asked = {**asked, "cidr": "0.0.0.0/0"}
    protocol = asked.get("ip_protocol")
    if protocol is None and asked.get("group_id") is None:
        raise Invalid("Not enough parameters to build a valid rule.")
    first, last = _port(asked.get("from_port")), _port(asked.get("to_port"))
    rule: dict[str, Any] = {
        "security_group_id": asked["parent_group_id"],
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": None if protocol in (None, _ANY_PORT, "-1") else str(protocol).lower(),
        "port_range_min": None if first == _ANY_PORT else first,
        "port_range_max": None if last == _ANY_PORT else last,
    }
    if asked.get("group_id") is not None:
        return {**rule, "remote_group_id": asked["group_id"]}
    try:
        network = ipaddress.ip_network(str(asked["cidr"]), strict=False)
    except ValueError as malformed:
        raise Invalid(f"Invalid cidr {asked['cidr']}.") from malformed
    return {**rule, "ethertype": f"IPv{network.version}", "remote_ip_prefix": str(asked["cidr"])}


def _port(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as malformed:
        raise Invalid(f"Invalid port {value}: it is no whole number.") from malformed


def _names(groups: list[Document]) -> dict[str, Document]:
    return {group["id"]: group for group in groups}


def _remote_names(networks: NetworkGateway, call: ApiCall, group: Document) -> dict[str, Document]:
    """The groups that a group's rules speak of."""
    rules = group["security_group_rules"]
    ids = sorted({rule["remote_group_id"] for rule in rules if rule.get("remote_group_id")})
    return _names(networks.listed(call, "security-groups", id=ids)) if ids else {}


def _show(group: Document, known: dict[str, Document]) -> dict[str, Any]:
    rules = group.get("security_group_rules", ())
    return {
        "id": group["id"],
        "name": group["name"],
        "description": group.get("description") or "",
        "tenant_id": group["tenant_id"],
        "rules": [_show_rule(rule, known) for rule in rules if rule["direction"] == "ingress"],
    }


def _show_rule(rule: Document, known: dict[str, Document]) -> dict[str, Any]:
    first, last = rule.get("port_range_min"), rule.get("port_range_max")
    if rule.get("protocol") and first is None and last is None:
        is_wide = str(rule["protocol"]).lower() in ("tcp", "udp")
        first, last = (1, _LAST_PORT) if is_wide else (_ANY_PORT, _ANY_PORT)
    remote = rule.get("remote_group_id")
    whom: dict[str, Any] = {}
    if remote in known:
        whom = {"name": known[remote]["name"], "tenant_id": known[remote]["tenant_id"]}
    everybody = "::/0" if rule.get("ethertype") == "IPv6" else "0.0.0.0/0"
    return {
        "id": rule["id"],
        "parent_group_id": rule["security_group_id"],
        "ip_protocol": rule.get("protocol"),
        "from_port": first,
        "to_port": last,
        "group": whom,
        "ip_range": {} if remote else {"cidr": rule.get("remote_ip_prefix") or everybody},
    }

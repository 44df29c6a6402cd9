# SPDX-License-Identifier: Apache-2.0
"""`/servers` and `/servers/{id}`: create, list, show, change, delete."""

from collections.abc import Sequence
from typing import Any

from common.errors import Conflict, Invalid, NotFound
from common.objects.instance import Instance
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY
from services.api.declare.types import Plain, is_true
from services.api.declare.view import Listing, One, Raw
from services.api.lookups import Lookups
from services.api.resources.servers import bodies, views
from services.api.resources.servers.block_devices.lookups import DiskLookups
from services.api.resources.servers.block_devices.made_volumes import ServersWithVolumes
from services.api.resources.servers.create import new_servers
from services.api.resources.servers.filters import QUERY, server_filters
from services.api.responder import responder
from services.api.volume_gateway import VolumeGateway

_RULE = "os_compute_api:servers:"
_CREATED = Raw(Plain({"type": "object"}))
# The API's names of what may be changed, and Instance's.
_CHANGEABLE = {
    "name": "name", "description": "description", "hostname": "hostname",
    "accessIPv4": "access_ip_v4", "accessIPv6": "access_ip_v6", "OS-DCF:diskConfig": "disk_config",
    "pinned_availability_zone": "pinned_availability_zone",
}  # fmt: skip


def _marker(server: Instance, call: ApiCall) -> str:
    return server.uuid


_LIST = Listing("servers", views.BRIEF, paged_since="2.1", marker=_marker)
_DETAILS = Listing("servers", views.DETAIL, paged_since="2.1", marker=_marker)


class Servers:
    """`/servers` and `/servers/detail`."""

    def __init__(
        self, servers: ServersRpc, lookups: Lookups, volumes: VolumeGateway, *, show_password: bool
    ) -> None:
        self._servers = servers
        self._lookups = lookups
        self._disk_lookups = DiskLookups(lookups, volumes)
        self._new_servers = ServersWithVolumes(servers, volumes)
        self._show_password = show_password

    @responder(policy=_RULE + "index", query=QUERY, returns=_LIST)
    def on_get(self, call: ApiCall) -> Sequence[Instance]:
        """List servers."""
        filters = server_filters(call, operation="index")
        if filters is None:
            return []
        return self._servers.list_servers(call.caller, filters, brief=True)

    @responder(policy=_RULE + "detail", query=QUERY, returns=_DETAILS)
    def on_get_detail(self, call: ApiCall) -> Sequence[Instance]:
        """List servers with details."""
        filters = server_filters(call, operation="detail")
        if filters is None:
            return []
        return self._servers.list_servers(call.caller, filters)

    @responder(policy=_RULE + "create", body=bodies.CREATE, returns=_CREATED, status=202)
    def on_post(self, call: ApiCall) -> dict[str, Any]:
        """Create one or more servers."""
        request = new_servers(call, self._lookups, self._disk_lookups)
        try:
            created = self._new_servers.create(call, request)
        except NotFound as missing:  # what a body names and is not there makes the body wrong
            raise Invalid(str(missing)) from missing
        if is_true(call.body.get("return_reservation_id", False)):
            return {"reservation_id": created.reservation_id}
        first = created.uuids[0]
        call.location = call.links.self_href("servers", first)
        groups = created.security_groups or ("default",)
        server: dict[str, Any] = {
            "id": first,
            "links": call.links.both("servers", first),
            "OS-DCF:diskConfig": created.disk_config,
            "security_groups": [{"name": name} for name in groups],
        }
        if self._show_password:
            server["adminPass"] = request.admin_password
        return {"server": server}


class ServerById:
    """`/servers/{server_id}`."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_RULE + "show", query=ANY_QUERY, returns=One("server", views.SHOW))
    def on_get(self, call: ApiCall, server_id: str) -> Instance:
        """Show a server."""
        return self._servers.get(call.caller, server_id)

    @responder(policy=_RULE + "update", body=bodies.UPDATE, returns=One("server", views.UPDATED))
    def on_put(self, call: ApiCall, server_id: str) -> Instance:
        """Change a server's name, description, addresses or host name."""
        changes = {ours: call.body[name] for name, ours in _CHANGEABLE.items() if name in call.body}
        if "name" in changes:
            changes["name"] = changes["name"].strip()
        if "pinned_availability_zone" in changes:
            _check_pin(self._servers.get(call.caller, server_id), changes)
        return self._servers.update(call.caller, server_id, changes)

    @responder(policy=_RULE + "delete", status=204)
    def on_delete(self, call: ApiCall, server_id: str) -> None:
        """Delete a server."""
        self._servers.delete(call.caller, server_id)


def _check_pin(server: Instance, changes: dict[str, Any]) -> None:
    """A pin may be taken away, or set to the zone that the server is in."""
    wanted, current = changes["pinned_availability_zone"], server.pinned_availability_zone
    if wanted is None or wanted == current:
        return
    if current is not None:
        raise Conflict(f"Server {server.uuid} is pinned to {current}; unpin it first.")
    if wanted != server.availability_zone:
        raise Conflict(f"Server {server.uuid} is not in availability zone {wanted}.")

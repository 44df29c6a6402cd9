# SPDX-License-Identifier: Apache-2.0
"""`/servers/{server_id}/shares`: shared file systems of servers."""

import msgspec

from common.clients.share import UserShareClient
from common.errors import ShareNotFound
from common.objects.instance import Instance
from common.objects.share_mapping import ShareMapping, ShareStatus
from common.rpc.conductor.servers import Servers as ServersRpc
from common.rpc.conductor.shares import Shares
from common.states import PowerState
from services.api.call import ApiCall
from services.api.declare.request import Body, Query
from services.api.declare.types import TEXT, UUID, Field, enum, string
from services.api.declare.view import Listing, One, Shown, View
from services.api.responder import responder

_RULE = "os_compute_api:os-server-shares:"
_TAG = string(1, 255, pattern="^[a-zA-Z0-9-]*$")
NO_QUERY = Query("server-shares", (), strict_since="2.97")
CREATE = Body("share-attach", key="share", fields=[
    Field("share_id", UUID),
    Field("tag", _TAG, required=False),
])  # fmt: skip
_EVERYBODYS = [
    Shown("share_id", UUID, "share_id"),
    Shown("status", enum("active", "inactive", "attaching", "detaching", "error"), "status"),
    Shown("tag", TEXT, "tag"),
]


def _is_admin(call: ApiCall) -> bool:
    return call.caller.is_admin


LISTED = View("server-share-listed", _EVERYBODYS)
SHARE = View("server-share", [
    *_EVERYBODYS,
    Shown("uuid", UUID, "uuid", when=_is_admin),
    Shown("export_location", TEXT, "export_location", when=_is_admin),
])  # fmt: skip
_IS_ON = (PowerState.RUNNING, PowerState.PAUSED)


def _shown(server: Instance) -> list[ShareMapping]:
    """The server's shares, those that its guest uses as active."""
    if server.power_state not in _IS_ON:
        return list(server.shares)
    return [
        msgspec.structs.replace(each, status=ShareStatus.ACTIVE)
        if each.status == ShareStatus.INACTIVE
        else each
        for each in server.shares
    ]


class ServerShares:
    """`/servers/{server_id}/shares`, from 2.97."""

    def __init__(self, servers: ServersRpc, shares: Shares, share_service: UserShareClient) -> None:
        self._servers = servers
        self._shares = shares
        self._share_service = share_service

    @responder(
        policy=_RULE + "index", query=NO_QUERY, returns=Listing("shares", LISTED), since="2.97"
    )
    def on_get(self, call: ApiCall, server_id: str) -> list[ShareMapping]:
        """List a server's shares."""
        return _shown(self._servers.get(call.caller, server_id))

    @responder(
        policy=_RULE + "create", body=CREATE, returns=One("share", SHARE), status=201, since="2.97"
    )
    def on_post(self, call: ApiCall, server_id: str) -> ShareMapping:
        """Attach a share that the caller may see to a server that is off."""
        self._servers.get(call.caller, server_id)
        share = self._share_service.get(call.token, call.body["share_id"])
        return self._shares.attach(call.caller, server_id, share=share, tag=call.body.get("tag"))


class ServerShareById:
    """`/servers/{server_id}/shares/{share_id}`, from 2.97."""

    def __init__(self, servers: ServersRpc, shares: Shares) -> None:
        self._servers = servers
        self._shares = shares

    @responder(policy=_RULE + "show", query=NO_QUERY, returns=One("share", SHARE), since="2.97")
    def on_get(self, call: ApiCall, server_id: str, share_id: str) -> ShareMapping:
        """Show a share of a server. Raises: ShareNotFound."""
        for each in _shown(self._servers.get(call.caller, server_id)):
            if each.share_id == share_id:
                return each
        raise ShareNotFound(share=share_id)

    @responder(policy=_RULE + "delete", status=200, since="2.97")
    def on_delete(self, call: ApiCall, server_id: str, share_id: str) -> None:
        """Detach a share from a server that is off. Raises: ShareNotFound."""
        self._shares.detach(call.caller, server_id, share_id=share_id)

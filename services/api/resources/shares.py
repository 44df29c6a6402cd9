# SPDX-License-Identifier: Apache-2.0
"""`/servers/{server_id}/shares`: shared file systems of servers, in a cloud that has none.

No shared file system service stands behind this deployment. So no server has a share, and a share
that a request names cannot be found: what a cloud answers whose service knows no such share.
"""

from typing import NoReturn

from common.errors import ShareNotFound
from common.rpc.conductor.servers import Servers as ServersRpc
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
SHARE = View("server-share", [
    Shown("share_id", UUID, "share_id"),
    Shown("status", enum("active", "inactive", "attaching", "detaching", "error"), "status"),
    Shown("tag", TEXT, "tag"),
])  # fmt: skip


class ServerShares:
    """`/servers/{server_id}/shares`, from 2.97."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(
        policy=_RULE + "index", query=NO_QUERY, returns=Listing("shares", SHARE), since="2.97"
    )
    def on_get(self, call: ApiCall, server_id: str) -> list[NoReturn]:
        """List a server's shares: none."""
        self._servers.get(call.caller, server_id)
        return []

    @responder(
        policy=_RULE + "create", body=CREATE, returns=One("share", SHARE), status=201, since="2.97"
    )
    def on_post(self, call: ApiCall, server_id: str) -> NoReturn:
        """Attach a share to a server. Raises: ShareNotFound."""
        self._servers.get(call.caller, server_id)
        raise ShareNotFound(share=call.body["share_id"])


class ServerShareById:
    """`/servers/{server_id}/shares/{share_id}`, from 2.97."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_RULE + "show", query=NO_QUERY, returns=One("share", SHARE), since="2.97")
    def on_get(self, call: ApiCall, server_id: str, share_id: str) -> NoReturn:
        """Show a share of a server. Raises: ShareNotFound."""
        self._servers.get(call.caller, server_id)
        raise ShareNotFound(share=share_id)

    @responder(policy=_RULE + "delete", status=200, since="2.97")
    def on_delete(self, call: ApiCall, server_id: str, share_id: str) -> NoReturn:
        """Detach a share from a server. Raises: ShareNotFound."""
        self._servers.get(call.caller, server_id)
        raise ShareNotFound(share=share_id)

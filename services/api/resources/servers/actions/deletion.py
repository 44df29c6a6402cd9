# SPDX-License-Identifier: Apache-2.0
"""Actions around a server's deletion."""

from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder

_RULE = "os_compute_api:os-deferred-delete:"


class DeletionActions:
    """forceDelete, restore."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"forceDelete": self.force_delete, "restore": self.restore}

    @responder(policy=_RULE + "force", body=bodies.FORCE_DELETE, status=202)
    def force_delete(self, call: ApiCall, server_id: str) -> None:
        """Delete a server for good, even where deleted servers can be restored."""
        self._servers.delete(call.caller, server_id, force=True)

    @responder(policy=_RULE + "restore", body=bodies.RESTORE, status=202)
    def restore(self, call: ApiCall, server_id: str) -> None:
        """Bring a deleted server back that was not reclaimed yet."""
        self._servers.restore(call.caller, server_id)

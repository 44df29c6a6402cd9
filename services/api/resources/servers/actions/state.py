# SPDX-License-Identifier: Apache-2.0
"""Actions that change a server's lock or recorded state by word alone."""

from common.policy import PolicyForbids
from common.rpc.conductor.servers import Servers as ServersRpc
from common.rpc.conductor.state import State
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder

_LOCK = "os_compute_api:os-lock-server:"
_OVERRIDE = _LOCK + "unlock:unlock_override"


class StateActions:
    """lock, unlock, os-resetState."""

    def __init__(self, state: State, servers: ServersRpc) -> None:
        self._state = state
        self._servers = servers

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"lock": self.lock, "unlock": self.unlock, "os-resetState": self.reset_state}

    @responder(policy=_LOCK + "lock", body=bodies.LOCK, status=202)
    def lock(self, call: ApiCall, server_id: str) -> None:
        """Lock a server."""
        reason = call.body.get("locked_reason") if call.at_least(73) and call.body else None
        self._state.lock(call.caller, server_id, reason=reason)

    @responder(policy=_LOCK + "unlock", body=bodies.UNLOCK, status=202)
    def unlock(self, call: ApiCall, server_id: str) -> None:
        """Unlock a server; the lock of somebody outside its project takes a right of its own."""
        server = self._servers.get(call.caller, server_id)
        kind = "owner" if server.project_id == call.caller.project_id else "admin"
        if server.locked_by not in (None, kind) and not call.allows(_OVERRIDE):
            raise PolicyForbids(rule=_OVERRIDE)
        self._state.unlock(call.caller, server_id)

    @responder(
        policy="os_compute_api:os-admin-actions:reset_state", body=bodies.RESET_STATE, status=202
    )
    def reset_state(self, call: ApiCall, server_id: str) -> None:
        """Record that a server is active, or in error."""
        self._state.reset_state(call.caller, server_id, vm_state=call.body["state"])

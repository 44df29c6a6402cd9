# SPDX-License-Identifier: Apache-2.0
"""Actions of `POST /servers/{server_id}/action`: one method each, found by the body's key."""

from typing import Any

from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.call import ApiCall
from services.api.declare.types import TEXT, Field, Record
from services.api.declare.view import Raw
from services.api.resources.servers import bodies
from services.api.responder import responder

_RULE = "os_compute_api:servers:"
_OUTPUT = Raw(Record([Field("output", TEXT)]))


class ServerActions:
    """What can be done to a server once it is there."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    @responder(policy=_RULE + "start", body=bodies.START, status=202)
    def start(self, call: ApiCall, server_id: str) -> None:
        """Power a server on."""
        self._servers.start(call.caller, server_id)

    @responder(policy=_RULE + "stop", body=bodies.STOP, status=202)
    def stop(self, call: ApiCall, server_id: str) -> None:
        """Power a server off."""
        self._servers.stop(call.caller, server_id)

    @responder(policy=_RULE + "reboot", body=bodies.REBOOT, status=202)
    def reboot(self, call: ApiCall, server_id: str) -> None:
        """Reboot a server, softly or hard."""
        hard = call.body["type"].upper() == "HARD"
        self._servers.reboot(call.caller, server_id, hard=hard)

    @responder(
        policy="os_compute_api:os-console-output", body=bodies.CONSOLE_OUTPUT, returns=_OUTPUT
    )
    def console_output(self, call: ApiCall, server_id: str) -> dict[str, Any]:
        """Show the end of a server's serial log."""
        length = call.body.get("length")
        lines = None if length is None or int(length) < 0 else int(length)
        output = self._servers.console_output(call.caller, server_id, lines=lines)
        # The API's text has no control characters but line ends and tabs.
        return {"output": "".join(c for c in output if c in "\n\t\r\x1b" or c >= " ")}

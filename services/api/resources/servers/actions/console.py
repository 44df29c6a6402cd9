# SPDX-License-Identifier: Apache-2.0
"""Actions that look at a server's console."""

from typing import Any

from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.types import TEXT, Field, Record
from services.api.declare.view import Raw
from services.api.resources.servers import bodies
from services.api.responder import responder

_OUTPUT = Raw(Record([Field("output", TEXT)]))


class ConsoleActions:
    """os-getConsoleOutput."""

    def __init__(self, servers: ServersRpc) -> None:
        self._servers = servers

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"os-getConsoleOutput": self.console_output}

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

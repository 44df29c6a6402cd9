# SPDX-License-Identifier: Apache-2.0
"""Actions that look at a server's console, or open it."""

from typing import Any

from common.errors import Invalid
from common.rpc.conductor.servers import Servers as ServersRpc
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.declare.types import TEXT, Field, Record, string
from services.api.declare.view import One, Raw, Shown, View
from services.api.resources.consoles import MALFORMED, ConsoleOpener, OpenConsole
from services.api.resources.servers import bodies
from services.api.responder import responder

_OUTPUT = Raw(Record([Field("output", TEXT)]))
_REMOTE = "os_compute_api:os-remote-consoles"
_CONSOLE = One("console", View("console-url", [
    Shown("type", TEXT, "type"),
    Shown("url", string(form="uri"), "url"),
]))  # fmt: skip


class ConsoleActions:
    """os-getConsoleOutput, and the ways to open a console before 2.6."""

    def __init__(self, servers: ServersRpc, opener: ConsoleOpener) -> None:
        self._servers = servers
        self._opener = opener

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "os-getConsoleOutput": self.console_output,
            "os-getVNCConsole": self.vnc,
            "os-getSPICEConsole": self.spice,
            "os-getSerialConsole": self.serial,
            "os-getRDPConsole": self.rdp,
        }

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

    @responder(policy=_REMOTE, body=bodies.VNC_CONSOLE, returns=_CONSOLE, until="2.5")
    def vnc(self, call: ApiCall, server_id: str) -> OpenConsole:
        """Make a URL that opens a server's screen by VNC."""
        return self._opener.open(call, server_id, "vnc", call.body["type"])

    @responder(policy=_REMOTE, body=bodies.SPICE_CONSOLE, returns=_CONSOLE, until="2.5")
    def spice(self, call: ApiCall, server_id: str) -> OpenConsole:
        """Make a URL that opens a server's screen by SPICE."""
        return self._opener.open(call, server_id, "spice", call.body["type"])

    @responder(policy=_REMOTE, body=bodies.SERIAL_CONSOLE, returns=_CONSOLE, until="2.5")
    def serial(self, call: ApiCall, server_id: str) -> OpenConsole:
        """Make a URL that opens a server's serial console."""
        return self._opener.open(call, server_id, "serial", call.body["type"])

    @responder(body=bodies.RDP_CONSOLE, until="2.5")
    def rdp(self, call: ApiCall, server_id: str) -> None:
        """Refuse: no server has such a console. Raises: Invalid."""
        raise Invalid(MALFORMED)

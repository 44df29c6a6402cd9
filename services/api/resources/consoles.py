# SPDX-License-Identifier: Apache-2.0
"""Consoles of servers: URLs that open them, and what a token in such a URL opens."""

from dataclasses import dataclass
from typing import Any

from common.errors import ConsoleTypeInvalid, Invalid
from common.objects.console import Console, ConsoleType
from common.rpc.conductor.consoles import Consoles
from services.api.call import ApiCall
from services.api.console_urls import ConsoleUrls
from services.api.declare.request import Body, Query
from services.api.declare.types import (
    INTEGER,
    TEXT_OR_NULL,
    UUID,
    Changing,
    Field,
    enum,
    integer,
    string,
)
from services.api.declare.view import ABSENT, One, Shown, View
from services.api.responder import responder

# What the Compute API says where it says no more.
MALFORMED = (
    "The server could not comply with the request since it is either malformed or otherwise "
    "incorrect."
)
_KNOWN = {str(console_type): console_type for console_type in ConsoleType}
_PROTOCOLS = ("vnc", "spice", "serial", "rdp")
_TYPES = ("novnc", "xvpvnc", "spice-html5", "serial", "rdp-html5")
_PROTOCOL = Changing((("2.6", enum(*_PROTOCOLS)), ("2.8", enum(*_PROTOCOLS, "mks"))))
_TYPE = Changing((
    ("2.6", enum(*_TYPES)),
    ("2.8", enum(*_TYPES, "webmks")),
    ("2.99", enum(*_TYPES, "webmks", "spice-direct")),
))  # fmt: skip
CREATE = Body(
    "remote-console",
    key="remote_console",
    fields=[Field("protocol", _PROTOCOL), Field("type", _TYPE)],
)
_REMOTE_CONSOLE = View("remote-console", [
    Shown("protocol", _PROTOCOL, "protocol"),
    Shown("type", _TYPE, "type"),
    Shown("url", string(form="uri"), "url"),
])  # fmt: skip


def _tls_port(console: Console, call: ApiCall) -> Any:
    is_direct = console.console_type is ConsoleType.SPICE_DIRECT
    return console.address.tls_port if is_direct else ABSENT


_CONSOLE = View("console", [
    Shown("instance_uuid", UUID, "instance_uuid"),
    Shown("host", TEXT_OR_NULL, "address.host"),
    Shown("port", INTEGER, "address.port"),
    Shown("internal_access_path", string(form="uuid", null=True), "address.internal_access_path"),
    Shown("tls_port", integer(null=True), _tls_port, since="2.99"),
])  # fmt: skip
_TOKEN_QUERY = Query("console-token", (), strict_since="2.99")


@dataclass(frozen=True)
class OpenConsole:
    """A console as its user gets it."""

    protocol: str
    type: str
    url: str


class ConsoleOpener:
    """Gets tokens, and makes URLs of them."""

    def __init__(self, consoles: Consoles, urls: ConsoleUrls) -> None:
        self._consoles, self._urls = consoles, urls

    def open(self, call: ApiCall, server_id: str, protocol: str, type_: str) -> OpenConsole:
        """A URL of a server's console.

        Raises: ConsoleTypeInvalid (of no such type, or not by that protocol), and what
        `Consoles.create` raises.
        """
        console_type = _KNOWN.get(type_)
        if console_type is None or console_type.kind != protocol:
            raise ConsoleTypeInvalid(console_type=type_)
        token = self._consoles.create(call.caller, server_id, console_type=console_type)
        return OpenConsole(protocol, type_, self._urls.url(console_type, token))


class RemoteConsoles:
    """`/servers/{server_id}/remote-consoles`."""

    def __init__(self, opener: ConsoleOpener) -> None:
        self._opener = opener

    @responder(
        policy="os_compute_api:os-remote-consoles",
        body=CREATE,
        returns=One("remote_console", _REMOTE_CONSOLE),
        since="2.6",
    )
    def on_post(self, call: ApiCall, server_id: str) -> OpenConsole:
        """Make a URL that opens a server's console."""
        return self._opener.open(call, server_id, call.body["protocol"], call.body["type"])


class ConsoleAuthToken:
    """`/os-console-auth-tokens/{token}`."""

    def __init__(self, consoles: Consoles) -> None:
        self._consoles = consoles

    @responder(
        policy="os_compute_api:os-console-auth-tokens",
        query=_TOKEN_QUERY,
        returns=One("console", _CONSOLE),
    )
    def on_get(self, call: ApiCall, token: str) -> Console:
        """Show where the console is that a token opens.

        Raises: Invalid (below 2.31: that was for a type that is gone), ConsoleTokenNotFound.
        """
        if not call.at_least(31):
            raise Invalid(MALFORMED)
        return self._consoles.find(call.caller, token)

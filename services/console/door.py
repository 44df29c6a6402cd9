# SPDX-License-Identifier: Apache-2.0
"""One port of the daemon: pages for browsers, and consoles of one type for their WebSockets."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from common.objects.console import Console, ConsoleType
from common.observability import log
from services.console.asked import Asked, take_apart
from services.console.connector import Connector
from services.console.files import Files
from services.console.origins import Origins
from services.console.refusals import Refused, answer_of, response
from services.console.relay import Traffic, relay
from services.console.screens import Protection, introduce
from services.console.sessions import Sessions, TooMany
from services.console.tickets import Tickets

LOG = logging.getLogger(__name__)

# WebSocket's number for "cannot go on", and for "try again later".
_FAILED, _TRY_AGAIN = 1011, 1013
_BINARY = Subprotocol("binary")
_CACHE = "max-age=3600"


@dataclass(frozen=True)
class Place:
    """Where a door is, what it is for, and the pages there.

    `protection` is what screens behind it must have; None: bytes are handed on from the first.
    """

    console_type: ConsoleType
    host: str
    port: int
    protection: Protection | None = None
    files: Files = field(default_factory=Files)


@dataclass(frozen=True)
class Rules:
    """`idle_s`: after which a console on which nothing moves is closed (0: never);
    `ends_with_token`: whether it is closed when its token expires.
    """

    idle_s: float = 0
    ends_with_token: bool = False


class Client(ServerConnection):
    """A connection of a client, and what its token opens."""

    console: Console | None = None


class Door:
    """Answers requests and carries bytes; what listens calls it (server.py)."""

    def __init__(
        self,
        place: Place,
        origins: Origins,
        rules: Rules,
        *,
        tickets: Tickets,
        connector: Connector,
        sessions: Sessions,
    ) -> None:
        self.place = place
        self._origins = origins
        self._rules = rules
        self._tickets = tickets
        self._connector = connector
        self._sessions = sessions

    async def answer(self, client: ServerConnection, request: Request) -> Response | None:
        """The answer to a request; None lets a WebSocket in."""
        asked = take_apart(request)
        try:
            if asked.method not in ("GET", "HEAD"):
                raise Refused(405, "Pages and consoles are only opened here.")
            if not asked.is_upgrade:
                found = await self._page(asked)
                return found if asked.method == "GET" else _without_body(found)
            self._origins.check(asked.origin, asked.host)
            console = await self._tickets.check(asked, self.place.console_type)
        except Refused as refused:
            # Browsers ask by themselves for icons that no page has.
            level = logging.DEBUG if refused.status == 404 else logging.INFO
            LOG.log(level, "Turned %s away: %s", _name(client), refused)
            return answer_of(refused, asked)
        assert isinstance(client, Client)
        client.console = console
        return None

    async def carry(self, client: ServerConnection) -> None:
        """Connect a client that was let in with its console, until one of them leaves."""
        assert isinstance(client, Client)
        console = client.console
        assert console is not None
        with log.bound(instance=console.instance_uuid):
            try:
                async with self._sessions.opened(console, client):
                    await self._connect(client, console)
            except TooMany as many:
                LOG.warning("Turned %s away: %s", _name(client), many)
                await client.close(_TRY_AGAIN, str(many))

    async def _page(self, asked: Asked) -> Response:
        found = self.place.files.get(asked.path)
        if found is None:
            raise self._no_page(asked)
        if found.is_page and asked.token:
            # Said here, because what the page would show is only that it is not connected.
            await self._tickets.check(asked, self.place.console_type)
        return response(200, found.content, found.content_type,
                        cache="" if found.is_page else _CACHE)  # fmt: skip

    def _no_page(self, asked: Asked) -> Refused:
        if not self.place.files.by_path and self.place.console_type is ConsoleType.SERIAL:
            return Refused(426, "This address is a WebSocket: `kilonova console SERVER` opens it.")
        if not self.place.files.by_path:
            return Refused(404, f"There are no pages in {self.place.files.folder} on this machine.")
        return Refused(404, "There is no such page. Ask for the URL of a server's console.")

    async def _connect(self, client: ServerConnection, console: Console) -> None:
        address, type_ = console.address, console.console_type
        try:
            reader, writer = await self._connector.connect(address)
        except OSError as refused:
            LOG.warning("The %s console at %s:%d does not answer: %s",
                        type_, address.host, address.port, refused)  # fmt: skip
            await client.close(_FAILED, "The server's console does not answer.")
            return
        if self.place.protection is not None:
            try:
                await introduce(client, reader, writer, self.place.protection)
            except (OSError, ConnectionClosed) as refused:
                LOG.warning("The %s console at %s:%d was not opened: %s",
                            type_, address.host, address.port, refused)  # fmt: skip
                writer.transport.abort()
                await client.close(_FAILED, "The server's console could not be opened safely.")
                return
        began = asyncio.get_running_loop().time()
        traffic = Traffic(moved_at=began)
        LOG.info("Opened the %s console at %s:%d for %s",
                 type_, address.host, address.port, _name(client))  # fmt: skip
        ended = "the daemon stops"
        try:
            ended = await relay(
                client, reader, writer, traffic,
                idle_s=self._rules.idle_s,
                left_s=console.left_s if self._rules.ends_with_token else None,
            )  # fmt: skip
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            took_s = asyncio.get_running_loop().time() - began
            LOG.info("Closed the %s console after %.0f s, %d bytes in and %d out: %s",
                     type_, took_s, traffic.to_console, traffic.to_client, ended)  # fmt: skip
        await client.close(1000, ended)


def choose_subprotocol(
    client: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """`binary` where a client wants to hear it; bytes are sent as they are in any case."""
    return _BINARY if _BINARY in offered else None


def _without_body(full: Response) -> Response:
    """To HEAD: the headers of the answer to GET."""
    return Response(full.status_code, full.reason_phrase, full.headers, b"")


def _name(client: ServerConnection) -> str:
    address: Any = client.remote_address
    return str(address[0]) if address else "a client that has left"

# SPDX-License-Identifier: Apache-2.0
"""Consoles that are open: how many there may be, and who has a serial port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from websockets.asyncio.server import ServerConnection

from common.objects.console import Console, ConsoleKind

# Of one server at the same time: its owner cannot keep the others' consoles shut. A client of
# SPICE opens five.
_MOST_OF_A_SERVER = 32
_LEAVES_WITHIN_S = 5.0
# WebSocket's numbers from 4000 on are everybody's own.
OPENED_ELSEWHERE = 4001


class TooMany(Exception):
    """No more consoles may be open; the text says which."""


class _Session:
    def __init__(self, client: ServerConnection) -> None:
        self.client = client
        self.ended = asyncio.Event()


class Sessions:
    """Open consoles by instance. Belongs to the event loop's thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, list[_Session]] = {}
        self._serial: dict[str, _Session] = {}
        self.count = 0

    @contextlib.asynccontextmanager
    async def opened(self, console: Console, client: ServerConnection) -> AsyncIterator[None]:
        """Count the console for the time of the block. Raises: TooMany.

        A serial port talks to one client only: who had it is shown out.
        """
        self._refuse_too_many(console.instance_uuid)
        session = _Session(client)
        of_server = self._open.setdefault(console.instance_uuid, [])
        of_server.append(session)
        self.count += 1
        try:
            if console.console_type.kind is ConsoleKind.SERIAL:
                await self._take_over(console.instance_uuid, session)
            yield
        finally:
            session.ended.set()
            self.count -= 1
            of_server.remove(session)
            if not of_server:
                del self._open[console.instance_uuid]
            if self._serial.get(console.instance_uuid) is session:
                del self._serial[console.instance_uuid]

    def _refuse_too_many(self, instance_uuid: str) -> None:
        if self.count >= self._most:
            raise TooMany("Too many consoles are open: try again later.")
        if len(self._open.get(instance_uuid, ())) >= _MOST_OF_A_SERVER:
            raise TooMany("Too many consoles of this server are open.")

    async def _take_over(self, instance_uuid: str, session: _Session) -> None:
        before = self._serial.get(instance_uuid)
        self._serial[instance_uuid] = session
        if before is None:
            return
        closing = asyncio.create_task(
            before.client.close(OPENED_ELSEWHERE, "the console was opened elsewhere")
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(before.ended.wait(), _LEAVES_WITHIN_S)
        closing.cancel()

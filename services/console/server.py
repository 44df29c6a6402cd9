# SPDX-License-Identifier: Apache-2.0
"""Doors that listen: an event loop on a thread of its own.

Consoles are many, long and mostly quiet, and what is done for one is to hand bytes on. That is
what an event loop is for; threads would be three a console (docs/decisions/0011).
"""

import asyncio
import contextlib
import functools
import logging
import ssl
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve

from services.console.door import Client, Door, choose_subprotocol

LOG = logging.getLogger(__name__)

_OPENS_WITHIN_S = 25.0
_PING_S = 20.0
_CLOSES_WITHIN_S = 3.0
_START_S = 15.0
_STOP_S = 15.0
# The largest message that a client may send: a clipboard, not a file.
_MOST_MESSAGE_BYTES = 1 << 20
# WebSocket's number for "the service restarts".
_RESTARTS = 1012


class Crowd:
    """Connections of any kind; beyond `most` new ones are dropped unheard."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0


class _Counted(Client):
    """A client that is one of a crowd from its first byte on."""

    def __init__(self, crowd: Crowd, *args: Any, **more: Any) -> None:
        self._crowd = crowd
        super().__init__(*args, **more)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._crowd.count += 1
        super().connection_made(transport)
        if self._crowd.count > self._crowd.most:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.count -= 1
        super().connection_lost(exc)


class Doors:
    """Every door of the daemon."""

    def __init__(self, doors: Sequence[Door], tls: ssl.SSLContext | None, crowd: Crowd) -> None:
        self._doors = doors
        self._tls = tls
        self._crowd = crowd
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="doors", daemon=True)
        self._servers: list[Server] = []

    def start(self) -> None:
        """Listen at every door. Raises: OSError."""
        self._thread.start()
        self._do(self._open(), _START_S)

    def stop(self) -> None:
        """Close every door and what came in by it."""
        with contextlib.suppress(TimeoutError):
            self._do(self._close(), _STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _do(self, work: Coroutine[Any, Any, None], within_s: float) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    async def _open(self) -> None:
        for door in self._doors:
            self._servers.append(await _listen(door, self._tls, self._crowd))
            place = door.place
            LOG.info("%s consoles are at %s:%d%s", place.console_type, place.host, place.port,
                     " with TLS" if self._tls else "")  # fmt: skip

    async def _close(self) -> None:
        for server in self._servers:
            server.close(code=_RESTARTS, reason="the console service restarts")
        for server in self._servers:
            await server.wait_closed()


def quieten() -> None:
    """Keep out of the log what clients can write there."""
    for noisy in ("websockets", "asyncio"):
        # At lower levels these write requests, and tokens with them.
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("websockets.server").addFilter(_is_our_business)


def _is_our_business(record: logging.LogRecord) -> bool:
    """A client that speaks no HTTP is reported with a trace each time: it could fill the log."""
    return record.msg != "opening handshake failed"


async def _listen(door: Door, tls: ssl.SSLContext | None, crowd: Crowd) -> Server:
    return await serve(
        door.carry,
        door.place.host,
        door.place.port,
        process_request=door.answer,
        select_subprotocol=choose_subprotocol,
        # Screens are compressed already, and what is typed is short.
        compression=None,
        server_header=None,
        open_timeout=_OPENS_WITHIN_S,
        ping_interval=_PING_S,
        ping_timeout=_PING_S,
        close_timeout=_CLOSES_WITHIN_S,
        max_size=_MOST_MESSAGE_BYTES,
        create_connection=cast("type[ServerConnection]", functools.partial(_Counted, crowd)),
        ssl=tls,
    )

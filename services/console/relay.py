# SPDX-License-Identifier: Apache-2.0
"""Bytes from a WebSocket to a console and back, until one of them has enough.

Both directions wait for whoever reads slowly, so neither end can fill this process's memory.
"""

import asyncio
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

_CHUNK = 64 * 1024


@dataclass
class Traffic:
    """What went through. `moved_at` is the loop's time of the last bytes."""

    moved_at: float
    to_console: int = 0
    to_client: int = 0


async def relay(
    client: ServerConnection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    traffic: Traffic,
    *,
    idle_s: float,
    left_s: float | None,
) -> str:
    """Carry bytes until an end is closed; why it ended.

    `idle_s`: ends when nothing has moved for so long (0: never); `left_s`: ends then at the latest.
    """
    parts = {
        asyncio.create_task(_to_console(client, writer, traffic)),
        asyncio.create_task(_to_client(client, reader, traffic)),
    }
    if idle_s:
        parts.add(asyncio.create_task(_idle(traffic, idle_s)))
    try:
        done, _ = await asyncio.wait(parts, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result() if done else "the token expired"
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def _to_console(
    client: ServerConnection, writer: asyncio.StreamWriter, traffic: Traffic
) -> str:
    loop = asyncio.get_running_loop()
    try:
        async for message in client:
            # Serial consoles are typed into as text, too.
            data = message.encode() if isinstance(message, str) else message
            traffic.moved_at = loop.time()
            traffic.to_console += len(data)
            writer.write(data)
            await writer.drain()
    except ConnectionClosed as lost:
        return f"the client was lost ({lost})"
    except OSError as lost:
        return f"the console was lost ({lost})"
    return "the client left"


async def _to_client(
    client: ServerConnection, reader: asyncio.StreamReader, traffic: Traffic
) -> str:
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(_CHUNK):
            traffic.moved_at = loop.time()
            traffic.to_client += len(data)
            await client.send(data)
    except ConnectionClosed:
        return "the client left"
    except OSError as lost:
        return f"the console was lost ({lost})"
    return "the console was closed"


async def _idle(traffic: Traffic, idle_s: float) -> str:
    loop = asyncio.get_running_loop()
    while (left_s := traffic.moved_at + idle_s - loop.time()) > 0:
        await asyncio.sleep(left_s)
    return f"nothing moved for {idle_s:.0f} s"

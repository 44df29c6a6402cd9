# SPDX-License-Identifier: Apache-2.0
"""Screens behind TLS: the first words of VNC (RFB 3.8, RFC 6143, with VeNCrypt's security type).

Who a screen is for, the token says; that the hypervisor talks to this daemon, and nobody listens,
certificates say. A browser knows nothing of these: it is told that no security is needed.
"""

import asyncio
import ssl
from collections.abc import Collection
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection

_VERSION = b"RFB 003.008\n"
_NONE, _VENCRYPT = 1, 19
_VENCRYPT_VERSION = b"\x00\x02"
_X509_NONE = 260
_WITHIN_S = 10.0
_MOST_TYPES = 255
# What a client may say before it is told that it is let in, is a version and a number.
_MOST_EARLY_BYTES = 1 << 12


class Unsafe(OSError):
    """The screen is not as well protected as the operator wants, or speaks no VNC."""


@dataclass(frozen=True)
class Protection:
    """`schemes`: what a screen may have, of `vencrypt` and `none`. `tls` is for the former."""

    schemes: frozenset[str]
    tls: ssl.SSLContext


async def introduce(
    client: ServerConnection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    protection: Protection,
) -> None:
    """Agree with the screen, then with the client; what follows is theirs.

    Raises: OSError, Unsafe among them; ConnectionClosed when the client leaves.
    """
    try:
        async with asyncio.timeout(_WITHIN_S):
            await _agree_with_screen(reader, writer, protection)
    except (TimeoutError, asyncio.IncompleteReadError) as silent:
        raise Unsafe("it does not speak VNC, or does not go on") from silent
    early = await _agree_with_client(client)
    if early:
        writer.write(early)


async def _agree_with_screen(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protection: Protection
) -> None:
    if await reader.readexactly(len(_VERSION)) != _VERSION:
        raise Unsafe("it speaks another version of VNC than 3.8")
    writer.write(_VERSION)
    offered = await _security_types(reader)
    if _VENCRYPT in offered and "vencrypt" in protection.schemes:
        writer.write(bytes((_VENCRYPT,)))
        await _begin_tls(reader, writer, protection.tls)
    elif _NONE in offered and "none" in protection.schemes:
        writer.write(bytes((_NONE,)))
    else:
        raise Unsafe(f"it offers security types {sorted(offered)}, none of which may be used")
    if await reader.readexactly(4) != bytes(4):
        raise Unsafe("it does not let us in")


async def _security_types(reader: asyncio.StreamReader) -> Collection[int]:
    [count] = await reader.readexactly(1)
    if not count:
        length = int.from_bytes(await reader.readexactly(4))
        said = await reader.readexactly(min(length, _MOST_TYPES))
        raise Unsafe(f"it turns us away: {said!r}")
    return frozenset(await reader.readexactly(count))


async def _begin_tls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext
) -> None:
    if await reader.readexactly(2) != _VENCRYPT_VERSION:
        raise Unsafe("it speaks another version of VeNCrypt than 0.2")
    writer.write(_VENCRYPT_VERSION)
    if await reader.readexactly(1) != b"\x00":
        raise Unsafe("it refuses VeNCrypt 0.2")
    [count] = await reader.readexactly(1)
    kinds = [int.from_bytes(await reader.readexactly(4)) for _ in range(count)]
    if _X509_NONE not in kinds:
        raise Unsafe(f"of VeNCrypt it offers {kinds}, not certificates")
    writer.write(_X509_NONE.to_bytes(4))
    if await reader.readexactly(1) != b"\x01":
        raise Unsafe("it refuses to use certificates")
    await writer.start_tls(tls)


async def _agree_with_client(client: ServerConnection) -> bytes:
    """Tell it that it is let in; what it has said beyond that."""
    said = bytearray()

    async def hear(count: int) -> bytes:
        while len(said) < count:
            message = await client.recv()
            said.extend(message.encode() if isinstance(message, str) else message)
            if len(said) > _MOST_EARLY_BYTES:
                raise Unsafe("the client talks before it is let in")
        heard = bytes(said[:count])
        del said[:count]
        return heard

    await client.send(_VERSION)
    if await hear(len(_VERSION)) != _VERSION:
        raise Unsafe("the client speaks another version of VNC than 3.8")
    await client.send(bytes((1, _NONE)))
    if await hear(1) != bytes((_NONE,)):
        raise Unsafe("the client wants a security of its own")
    await client.send(bytes(4))
    return bytes(said)

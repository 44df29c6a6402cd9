# SPDX-License-Identifier: Apache-2.0
"""Connections to consoles of guests, from the network in which these listen."""

import asyncio
import functools
import socket
from concurrent.futures import ThreadPoolExecutor

from common import network_namespace
from common.objects.console import ConsoleAddress

_THREADS = 8
_WITHIN_S = 5.0


class Connector:
    """Connects in threads, which may belong to another network namespace than their process."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        enter = functools.partial(network_namespace.enter, namespace) if namespace else None
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="connector", initializer=enter)

    def start(self) -> None:
        """Find out whether the namespace can be entered. Raises: OSError."""
        if self._namespace:
            with network_namespace.inside(self._namespace):
                pass

    async def connect(
        self, address: ConsoleAddress
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Both ends of a connection to the console. Raises: OSError."""
        loop = asyncio.get_running_loop()
        connected = await loop.run_in_executor(self._pool, _connected, address.host, address.port)
        return await asyncio.open_connection(sock=connected)

    def close(self) -> None:
        """Connect no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _connected(host: str, port: int) -> socket.socket:
    sock = socket.create_connection((host, port), timeout=_WITHIN_S)
    sock.setblocking(False)
    return sock

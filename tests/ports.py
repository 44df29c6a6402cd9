# SPDX-License-Identifier: Apache-2.0
"""Ports for servers of tests."""

import secrets
import socket

# Below those that the kernel gives to connections: a server that is started again, while other
# tests connect to theirs, finds its port free.
_FIRST, _LAST = 12000, 32000


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, drawn at random: others look for some too."""
    found: list[int] = []
    while len(found) < count:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

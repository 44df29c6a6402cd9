# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: a thread may open its sockets in another one than its process.

A socket belongs to the namespace in which it was made, wherever it is used.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000


def enter(name: str) -> None:
    """Have the calling thread open sockets in the namespace from now on. Raises: OSError."""
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        _set(there)
    finally:
        os.close(there)


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Have the calling thread open sockets in the namespace during the block. Raises: OSError."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter(name)
        try:
            yield
        finally:
            _set(here)
    finally:
        os.close(here)


def _set(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")

# SPDX-License-Identifier: Apache-2.0
"""A terminal joined to a serial console: every key goes there, but one that leaves."""

import contextlib
import os
import select
import termios
import threading
import tty
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

LEAVE = b"\x1d"  # Ctrl-]
_CHUNK = 4096


@contextlib.contextmanager
def raw(keyboard: int) -> Iterator[None]:
    """Have the terminal hand over each key as it is, and be as it was in the end."""
    before = termios.tcgetattr(keyboard)
    tty.setraw(keyboard, termios.TCSADRAIN)  # what was typed already is not lost
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def join(client: ClientConnection, keyboard: int, screen: int) -> str | None:
    """Carry bytes until the user leaves (None) or the console ends (why).

    `keyboard` and `screen` are file descriptors, the first of a `raw` terminal.
    """
    ended = _Ended()
    thread = threading.Thread(target=_show, args=(client, screen, ended), daemon=True)
    thread.start()
    why = _type(client, keyboard, ended)
    client.close()
    thread.join(timeout=5)
    ended.close()
    return why


class _Ended:
    """Wakes who waits for keys when the console has ended, and says why."""

    def __init__(self) -> None:
        self.readable, self._writable = os.pipe()
        self.why = ""

    def tell(self, why: str) -> None:
        self.why = why
        os.write(self._writable, b".")

    def close(self) -> None:
        os.close(self.readable)
        os.close(self._writable)


def _type(client: ClientConnection, keyboard: int, ended: _Ended) -> str | None:
    while True:
        ready, _, _ = select.select([keyboard, ended.readable], [], [])
        if ended.readable in ready:
            return ended.why
        keys = os.read(keyboard, _CHUNK)
        before, leaves, _ = keys.partition(LEAVE)
        if before:
            # An end is seen by who reads, with its reason.
            with contextlib.suppress(ConnectionClosed):
                client.send(before)
        if leaves or not keys:
            return None


def _show(client: ClientConnection, screen: int, ended: _Ended) -> None:
    try:
        while True:
            said = client.recv()
            _write(screen, said.encode() if isinstance(said, str) else said)
    except ConnectionClosed as closed:
        reason = closed.rcvd.reason if closed.rcvd else ""
        ended.tell(reason or "the connection was lost")
    except OSError as lost:
        ended.tell(str(lost))


def _write(screen: int, data: bytes) -> None:
    while data:
        data = data[os.write(screen, data) :]

# SPDX-License-Identifier: Apache-2.0
"""Many guests that ask for something at the same moment, played by one cheap process.

Each is a connection of its own from an address of its own, as a guest's is. One loop serves them
all: threads of the client would cost more than what is measured.
"""

import selectors
import socket
import time
from collections.abc import Callable, Sequence

_DEADLINE_S = 30.0


def loopback(number: int) -> str:
    """The address of guest `number`: all of 127.0.0.0/8 is this machine's."""
    return f"127.77.{number // 250}.{number % 250 + 1}"


class _Guest:
    def __init__(self, address: str, port: int, requests: Sequence[bytes]) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((address, 0))
        self.requests = list(requests)
        self.took_s: list[float] = []
        self.statuses: list[int] = []
        self._port, self._began, self._got = port, 0.0, b""

    def connect(self) -> None:
        self._began = time.perf_counter()
        self.sock.connect_ex(("127.0.0.1", self._port))

    def ask(self) -> None:
        if self.took_s:
            self._began = time.perf_counter()
        self.sock.send(self.requests.pop(0))

    def hear(self) -> bool:
        """Take what came; whether that was the end of an answer."""
        piece = self.sock.recv(1 << 16)
        if not piece:
            raise AssertionError(f"the connection was closed after {self._got!r}")
        self._got += piece
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return False
        self.took_s.append(time.perf_counter() - self._began)
        self.statuses.append(int(head.split()[1]))
        self._got = b""
        return True


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise AssertionError(f"an answer without a length: {head!r}")


def ask(
    guests: int, port: int, paths: Sequence[str], headers: Callable[[int], dict[str, str]]
) -> list[float]:
    """Have `guests` connect at once and get `paths` one after another; how long each get took.

    The first one's time has the connection in it. Every answer is 200, or AssertionError.
    """
    chooser = selectors.DefaultSelector()
    crowd = []
    for number in range(guests):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers(number).items())
        wanted = [
            f"GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n{lines}\r\n".encode()
            for path in paths
        ]
        crowd.append(_Guest(loopback(number), port, wanted))
    for guest in crowd:
        guest.connect()
        chooser.register(guest.sock, selectors.EVENT_WRITE, guest)
    deadline, busy = time.monotonic() + _DEADLINE_S, guests
    while busy:
        assert time.monotonic() < deadline, f"{busy} guests were not answered in time"
        for key, events in chooser.select(1):
            guest = key.data
            if events & selectors.EVENT_WRITE:
                guest.ask()
                chooser.modify(guest.sock, selectors.EVENT_READ, guest)
            elif guest.hear():
                if guest.requests:
                    guest.ask()
                else:
                    chooser.unregister(guest.sock)
                    guest.sock.close()
                    busy -= 1
    chooser.close()
    refused = {status for guest in crowd for status in guest.statuses} - {200}
    assert not refused, f"not every guest was answered: {refused}"
    return [took for guest in crowd for took in guest.took_s]

# SPDX-License-Identifier: Apache-2.0
"""gunicorn's worker with threads, which answers by itself what needs neither a thread nor waiting.

An application that offers `AtOnce` is asked in the worker's own loop about each plain request. The
request is only looked at until there is an answer: a client that gets none so, whatever the reason,
goes to a thread and to the application with all that it sent. The loop waits for no client, nor for
what an answer needs.
"""

import contextlib
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from gunicorn import SERVER, util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from common import plain_requests
from common.plain_requests import Later, PlainGet, Reply

_R = TypeVar("_R")
LOG = logging.getLogger(__name__)

# Connections accepted before those that are there already are looked at again.
_MOST_ACCEPTED = 64


class AtOnceWorker(ThreadWorker):  # type: ignore[misc]
    """Plain requests are answered in the loop, when the application offers to; see `at_once`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._at_once: Any = None  # AtOnce | None
        self._known: deque[tuple[Any, PlainGet, Later]] = deque()
        self._is_woken = False
        self._head = _Head()

    def load_wsgi(self) -> None:
        """Load the application, and with it what it answers at once."""
        super().load_wsgi()
        self._at_once = self.app.at_once

    def accept(self, listener: Any) -> None:
        """Take all that wait: guests that boot together come together."""
        for _ in range(min(_MOST_ACCEPTED, self.worker_connections - self.nr_conns)):
            try:
                client, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self.nr_conns += 1
            conn = _Conn(self._see_off, self.cfg, client, address, listener.getsockname())
            if self._at_once is None:
                self.enqueue_req(conn)
            else:
                self._look_at(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A kept connection has something to say."""
        if self._at_once is None:
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._look_at(conn)

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:
        """A connection that had said nothing yet does."""
        if self._at_once is None:
            super().on_pending_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        self._look_at(conn)

    def _look_at(self, conn: Any) -> None:
        """Answer the request of a connection that nobody else has, or hand it to a thread."""
        try:
            received = conn.sock.recv(plain_requests.MOST_BYTES, socket.MSG_PEEK)
            if not received:
                self._part(conn)
                return
            request = plain_requests.read(received)
            reply = self._reply(conn, request) if request is not None else None
            if request is None or reply is None:
                self._hand_over(conn)
            elif isinstance(reply, Reply):
                self._send(conn, request, reply)
            else:
                reply.known.add_done_callback(lambda _: self._note(conn, request, reply))
        except BlockingIOError:
            self._await(conn, selectors.EVENT_READ, self.on_pending_socket_readable)
        except OSError:  # the client has gone
            self._part(conn)

    def _reply(self, conn: Any, request: PlainGet) -> Reply | Later | None:
        return self._made(partial(self._at_once, conn.client[0], request))

    def _made(self, make: Callable[[], _R | None]) -> _R | None:
        """What `make` makes; None when it fails."""
        try:
            return make()
        except Exception:  # the outermost frame: the application answers, and says what is wrong
            LOG.exception("Answering at once failed")
            return None

    def _note(self, conn: Any, request: PlainGet, later: Later) -> None:
        """Have the loop make a reply that can be made now; other threads call this.

        The loop is woken for the first one only: those of a whole look-up come one upon the other.
        """
        self._known.append((conn, request, later))
        if not self._is_woken:
            self._is_woken = True
            self.method_queue.defer(self._catch_up)

    def _catch_up(self) -> None:
        # Before looking: what is noted from now on is seen below, or wakes the loop again.
        self._is_woken = False
        while self._known:
            conn, request, later = self._known.popleft()
            try:
                reply = self._made(later.make)
                if reply is None:
                    self._hand_over(conn)
                else:
                    self._send(conn, request, reply)
            except OSError:  # the client has gone
                self._part(conn)

    def _hand_over(self, conn: Any) -> None:
        conn.data_ready = True
        self.enqueue_req(conn)

    def _send(self, conn: Any, request: PlainGet, reply: Reply) -> None:
        conn.sock.recv(request.length)
        is_last = request.is_last or not self.alive
        is_last = is_last or len(self.keepalived_conns) >= self.max_keepalived
        self._send_on(conn, memoryview(self._head.of(reply, is_last) + reply.content), is_last)

    def _send_on(self, conn: Any, rest: memoryview, is_last: bool) -> None:
        """Send what the client takes now, and the rest as it takes more."""
        with contextlib.suppress(BlockingIOError):
            rest = rest[conn.sock.send(rest) :]
        if rest:
            self._await(conn, selectors.EVENT_WRITE, partial(self._on_writable, rest, is_last))
        elif is_last:
            self.nr_conns -= 1
            conn.close(graceful=True)
        else:
            conn.set_timeout()
            self.keepalived_conns.append(conn)
            self.poller.register(
                conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn)
            )

    def _on_writable(self, rest: memoryview, is_last: bool, conn: Any, client: Any) -> None:
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        try:
            self._send_on(conn, rest, is_last)
        except OSError:  # the client has gone
            self._part(conn)

    def _await(self, conn: Any, event: int, then: Any) -> None:
        """Have `then` called once the client does its part; it is dropped when it never does."""
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, event, partial(then, conn))

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _see_off(self, conn: Any) -> None:
        """Close a connection once the client has: before, it could lose the end of its answer."""
        self.nr_conns += 1
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self._await(conn, selectors.EVENT_READ, self._on_leaving)
        except OSError:  # the client has gone
            self._part(conn)

    def _on_leaving(self, conn: Any, client: Any) -> None:
        with contextlib.suppress(OSError):
            if client.recv(plain_requests.MOST_BYTES):
                return  # nobody is going to read that
        self.poller.unregister(client)
        self.pending_conns.remove(conn)
        self._part(conn)

    def _part(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()


class _Conn(TConn):  # type: ignore[misc]
    """A connection that is closed by the loop, which does not wait for the client to do so first.

    gunicorn's own waits up to two seconds for each, and everybody with it.
    """

    def __init__(self, see_off: Callable[[Any], None], *args: Any) -> None:
        super().__init__(*args)
        self._see_off = see_off

    def close(self, graceful: bool = False) -> None:
        """Close it; with `graceful` once the client has."""
        if graceful:
            self._see_off(self)
        else:
            super().close()


class _Head:
    """Heads of answers, as gunicorn writes them."""

    def __init__(self) -> None:
        self._second, self._start = 0, ""

    def of(self, reply: Reply, is_last: bool) -> bytes:
        """The bytes before a reply's body."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._start = (
                f"HTTP/1.1 200 OK\r\nServer: {SERVER}\r\nDate: {util.http_date(second)}\r\n"
            )
        return (
            f"{self._start}Connection: {'close' if is_last else 'keep-alive'}\r\n"
            f"content-type: {reply.content_type}\r\n"
            f"content-length: {len(reply.content)}\r\n\r\n"
        ).encode("latin-1")

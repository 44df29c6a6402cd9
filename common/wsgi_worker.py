# SPDX-License-Identifier: Apache-2.0
"""gunicorn's worker with threads, for clients that send one request after another.

gunicorn hands a kept connection back to its event loop after every request and fetches it from
there for the next one, which costs two changes of threads and seven system calls. A thread here
stays a moment with the connection it has just answered, as long as others are free for new ones.
Where the event loop itself answers what most clients ask, connections are better off there.
"""

import select
import threading
from typing import Any

from common.wsgi_at_once import AtOnceWorker

# A client that has its answer and something more to ask does so within this.
_STAY_MS = 10


class StayingWorker(AtOnceWorker):
    """Threads stay with busy connections; at most half of them do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seats = threading.BoundedSemaphore(max(1, self.cfg.threads // 2))

    def handle(self, conn: Any) -> Any:
        """Answer a request and those that follow at once; what gunicorn's own does is returned."""
        kept = super().handle(conn)
        if kept is not True or self._at_once or not self._seats.acquire(blocking=False):
            return kept
        try:
            while kept is True and self.alive and _speaks(conn):
                kept = super().handle(conn)
            return kept
        finally:
            self._seats.release()


class OnlyWorker(StayingWorker):
    """A worker without a process above it that could vanish."""

    def is_parent_alive(self) -> bool:
        """There is none to look after."""
        return True


def _speaks(conn: Any) -> bool:
    """Whether the client sends something before the stay is over."""
    if conn.parser.unreader.buf.getvalue():
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(_STAY_MS))

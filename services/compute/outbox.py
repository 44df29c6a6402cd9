# SPDX-License-Identifier: Apache-2.0
"""The outbox: messages to the conductor that must get there, kept until the broker took them."""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable

from common.errors import KilonovaError

LOG = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 10.0


class Outbox:
    """Sends in order on a thread of its own; tries again, ever more slowly, while it fails.

    At most `most` messages wait; beyond that the oldest is dropped, which costs time only: the
    conductor asks again for what it was not told.
    """

    def __init__(self, *, most: int = 20000, pause: Callable[[float], float] | None = None) -> None:
        self._waiting: deque[Callable[[], None]] = deque(maxlen=most)
        self._pause = pause or (lambda seconds: seconds * random.uniform(0.7, 1.3))
        self._changed = threading.Condition()
        self._stopping = False
        self._failing_because = ""
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, send: Callable[[], None]) -> None:
        """Send this after what waits already. `send` raises KilonovaError to be tried again."""
        with self._changed:
            self._waiting.append(send)
            self._changed.notify()

    def problem(self) -> str | None:
        """Why messages wait; None when they do not."""
        return self._failing_because or None

    def stop(self, *, within_s: float) -> None:
        """Send what waits, then end; gives up after `within_s` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
                send = self._waiting.popleft()
            try:
                send()
            except KilonovaError as refused:
                pause_s = self._keep(send, str(refused), pause_s)
            except Exception:  # a message that cannot be sent must not stop the others
                LOG.exception("A message to the conductor was dropped")
            else:
                pause_s, self._failing_because = _FIRST_PAUSE_S, ""

    def _keep(self, send: Callable[[], None], reason: str, pause_s: float) -> float:
        """Put the message back, wait, and return the next pause."""
        if not self._failing_because:
            LOG.warning("Cannot tell the conductor, trying again: %s", reason)
        self._failing_because = reason
        with self._changed:
            if len(self._waiting) < (self._waiting.maxlen or 0):
                self._waiting.appendleft(send)
            self._changed.wait_for(lambda: self._stopping, timeout=self._pause(pause_s))
        return min(pause_s * 2, _LONGEST_PAUSE_S)

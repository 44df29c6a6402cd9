# SPDX-License-Identifier: Apache-2.0
"""Lanes: one piece of work at a time an instance, many instances at once, in a bounded pool.

A lane exists while it has work. A pool thread takes one piece from a lane and then goes to the
next lane, so an instance with much to do does not keep others waiting.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.errors import Unavailable

LOG = logging.getLogger(__name__)

Work = Callable[[], None]


class Lanes:
    """Runs work in order of arrival within a lane.

    `threads`: pieces that run at once. `most_waiting`: pieces that may wait; more are refused.
    """

    def __init__(self, threads: int, *, most_waiting: int = 10000) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="operation")
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._lanes: dict[str, deque[Work]] = {}
        self._waiting = 0
        self._is_open = True

    def put(self, lane: str, work: Work) -> None:
        """Run `work` after what is in the lane already. Its exceptions are logged, no more.

        Raises: Unavailable when too much waits, or after `close`.
        """
        with self._lock:
            if not self._is_open or self._waiting >= self._most_waiting:
                raise Unavailable(service="This compute host (too much to do)")
            self._waiting += 1
            queue = self._lanes.get(lane)
            if queue is not None:
                queue.append(work)
                return
            self._lanes[lane] = deque((work,))
            self._pool.submit(self._run_one, lane)

    def _run_one(self, lane: str) -> None:
        with self._lock:
            queue = self._lanes[lane]
            work = queue[0]
        try:
            work()
        except Exception:  # the outermost frame of a pool thread
            LOG.exception("Work in lane %s failed unexpectedly", lane)
        with self._lock:
            self._waiting -= 1
            queue.popleft()
            if not queue or not self._is_open:
                del self._lanes[lane]
            else:
                self._pool.submit(self._run_one, lane)

    def is_busy(self, lane: str) -> bool:
        """Whether work of the lane runs or waits."""
        with self._lock:
            return lane in self._lanes

    def close(self) -> None:
        """Take no more work, finish what runs, forget what waits. Blocks for what runs."""
        with self._lock:
            self._is_open = False
        self._pool.shutdown(wait=True, cancel_futures=True)

# SPDX-License-Identifier: Apache-2.0
"""The runner: threads that run tasks leased to this conductor, and the leases' renewal."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.errors import Unavailable
from services.conductor.db import journal
from services.conductor.db.engine import Database
from services.conductor.db.journal import Lease
from services.conductor.db.journal_task import Task

LOG = logging.getLogger(__name__)


class Runner:
    """Runs at most `threads` tasks at once; others wait here, under our lease."""

    def __init__(self, database: Database, lease: Lease, *, threads: int) -> None:
        self._database = database
        self._lease = lease
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="task")
        self._room = threads * 4
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._stopping = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="leases", daemon=True)
        self._run: Callable[[Task], None] | None = None

    def start(self, run: Callable[[Task], None]) -> None:
        """Begin to run tasks, each by `run`."""
        self._run = run
        self._renewal.start()

    def stop(self) -> None:
        """Finish the tasks' present transactions and calls; others take the rest on."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._renewal.join()
        try:
            with self._database.begin() as conn:
                journal.let_go(conn, self._lease)
        except Unavailable as away:
            LOG.warning("Tasks stay leased until %s s from now: %s", self._lease.lease_s, away)

    @property
    def room(self) -> int:
        """How many more tasks may sensibly be fetched now."""
        with self._lock:
            return max(0, self._room - len(self._held))

    @property
    def held(self) -> list[str]:
        """Tasks that run or wait here."""
        with self._lock:
            return list(self._held)

    def put(self, task: Task) -> None:
        """Run a task that is leased to us. After `stop` it is left for others."""
        with self._lock:
            self._held[task.uuid] = self._held.get(task.uuid, 0) + 1
        try:
            self._pool.submit(self._run_one, task)
        except RuntimeError:
            self._let_go(task)

    def do(self, work: Callable[[], None]) -> None:
        """Have other work of the journal done by the same threads."""
        if not self._stopping.is_set():
            self._pool.submit(_guarded, work)

    def _run_one(self, task: Task) -> None:
        assert self._run is not None
        try:
            self._run(task)
        except Unavailable as away:
            LOG.warning("Task %s waits: %s", task.uuid, away)
        except Exception:  # the outermost frame of a task
            LOG.exception("Task %s (%s) failed unexpectedly", task.uuid, task.flow)
        finally:
            self._let_go(task)

    def _let_go(self, task: Task) -> None:
        with self._lock:
            self._held[task.uuid] -= 1
            if not self._held[task.uuid]:
                del self._held[task.uuid]

    def _renew(self) -> None:
        while not self._stopping.wait(self._lease.lease_s / 3):
            held = self.held
            if not held:
                continue
            try:
                with self._database.begin() as conn:
                    journal.renew(conn, self._lease, held)
            except Unavailable as away:
                LOG.warning("Leases were not renewed: %s", away)
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("Leases were not renewed")


def _guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except Unavailable as away:
        LOG.warning("A task waits: %s", away)
    except Exception:  # the outermost frame of a pool thread
        LOG.exception("A task could not be moved")

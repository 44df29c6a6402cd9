# SPDX-License-Identifier: Apache-2.0
"""Work that outlives its request: rows of the store, done by a few threads.

A job is written in the transaction that changes its volume's status, and deleted in the one that
records how it ended. A process that dies in between does the job again when it starts; so each kind
of work says what its second run does. Jobs that touch the same volume or snapshot run one after
another, in the order in which they were written.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.store.engine import Store

LOG = logging.getLogger(__name__)

# What the end of a job writes, in the transaction that deletes it; and what then remains to be done
# once that is committed, if anything.
Afterwards = Callable[[], None]
Finish = Callable[[Connection], Afterwards | None]

_MOST_LOOKED_AT = 500
_STOP_S = 15
_j = tables.volume_jobs.c


class Interrupted(Exception):
    """The process stops: the job stays, for the next start."""


class WorkFailed(Exception):
    """Work that cannot be done, for a reason that the user may read."""


@dataclass(frozen=True)
class Job:
    """One piece of work. `subject` is what it is about, `source` what else it reads."""

    id: int
    kind: str
    subject: str
    source: str | None
    params: dict[str, Any]
    request_id: str | None

    @property
    def objects(self) -> set[str]:
        """Everything that no other job may touch meanwhile."""
        return {self.subject} | ({self.source} if self.source else set())


class Work:
    """How a kind of job is done, and what its failure means."""

    def do(self, job: Job, stopping: threading.Event) -> Finish:
        """Do it. Raises: Interrupted, WorkFailed; whatever else it raises is a fault of ours."""
        raise NotImplementedError

    def fail(self, job: Job, reason: str) -> Finish:
        """What is written when it failed for good; `reason` is for the user."""
        raise NotImplementedError


class Jobs:
    """The threads. Make it after a fork; `start` picks up what an earlier process left."""

    def __init__(self, store: Store, work: Mapping[str, Work], threads: int) -> None:
        self._store = store
        self._work = work
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._running: dict[int, Job] = {}
        # Jobs that wait for the next start.
        self._left: set[int] = set()
        self._woken = True
        self._threads = [
            threading.Thread(target=self._run, name=f"volume-job-{n}", daemon=True)
            for n in range(threads)
        ]

    def add(
        self, conn: Connection, kind: str, subject: str, *, source: str | None = None,
        request_id: str | None = None, **params: Any,
    ) -> None:  # fmt: skip
        """Write a job. Call `wake` once the transaction is committed."""
        row = {
            "kind": kind, "subject": subject, "source": source, "params": params,
            "request_id": request_id,
        }  # fmt: skip
        conn.execute(insert(tables.volume_jobs).values(row))

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be something to do. Returns at once."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Interrupt what can be interrupted, and end."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_STOP_S)

    def is_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to do; False when that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._woken and not self._running, timeout_s)

    def _run(self) -> None:
        while (job := self._take()) is not None:
            try:
                ended = self._attempt(job)
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("Job %d (%s of %s) could not be ended", job.id, job.kind, job.subject)
                ended = False
            with self._changed:
                del self._running[job.id]
                if not ended:
                    self._left.add(job.id)
                self._woken = True
                self._changed.notify_all()

    def _take(self) -> Job | None:
        """The next job that touches nothing that others work on; None when it is time to end."""
        with self._changed:
            while not self._stopping.is_set():
                if self._woken:
                    job = self._next()
                    if job is not None:
                        self._running[job.id] = job
                        return job
                    self._woken = False
                    self._changed.notify_all()
                self._changed.wait()
        return None

    def _next(self) -> Job | None:
        wanted = select(tables.volume_jobs).order_by(_j.id).limit(_MOST_LOOKED_AT)
        with self._store.read() as conn:
            jobs = [Job(**row) for row in conn.execute(wanted).mappings()]
        busy = set[str]()
        for job in jobs:
            if job.id in self._running or job.id in self._left:
                busy |= job.objects
                continue
            if not job.objects & busy:
                return job
            # Those behind it that touch the same must not overtake it.
            busy |= job.objects
        return None

    def _attempt(self, job: Job) -> bool:
        """Do the job and write how it ended; False when it stays."""
        work = self._work[job.kind]
        try:
            finish = work.do(job, self._stopping)
        except Interrupted:
            LOG.info("Job %d (%s of %s) goes on after the restart", job.id, job.kind, job.subject)
            return False
        except WorkFailed as failed:
            LOG.warning("Could not %s %s: %s", job.kind, job.subject, failed)
            finish = work.fail(job, str(failed))
        except Exception:  # the outermost frame of the job: its volume must not stay as it is
            LOG.exception("Could not %s %s (job %d)", job.kind, job.subject, job.id)
            finish = work.fail(job, "an unexpected error; the operator's log has it")
        with self._store.write() as conn:
            afterwards = finish(conn)
            conn.execute(delete(tables.volume_jobs).where(_j.id == job.id))
        if afterwards is not None:
            afterwards()
        return True

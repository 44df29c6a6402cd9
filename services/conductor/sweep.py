# SPDX-License-Identifier: Apache-2.0
"""The sweep: finds what no message moves any more. It never does the work of the fast path."""

import logging
import random
import threading
from collections.abc import Callable

from common.errors import Unavailable
from services.conductor.db import journal
from services.conductor.db.engine import Database
from services.conductor.db.journal import Lease
from services.conductor.hearing import Hearing
from services.conductor.journal.engine import Engine
from services.conductor.journal.runner import Runner

LOG = logging.getLogger(__name__)

_MOST = 200  # of each kind in one round; what is left waits for the next


class Sweep:
    """Every `interval_s` seconds: tasks that nobody runs, operations to send again or give up,
    queued tasks that were forgotten, and hosts that went up or down.

    `former_owner` is how names of this conductor's earlier runs start: their tasks are taken back
    at once when it starts.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        runner: Runner,
        lease: Lease,
        *,
        hearing: Hearing,
        publish_transitions: Callable[[], object],
        interval_s: float,
        down_after_s: float,
        former_owner: str,
        rng: random.Random,
    ) -> None:
        self._database = database
        self._engine = engine
        self._runner = runner
        self._lease = lease
        self._hearing = hearing
        self._publish_transitions = publish_transitions
        self._interval_s = interval_s
        self._down_after_s = down_after_s
        self._former_owner = former_owner
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)
        self._problem = ""

    def start(self) -> None:
        """Begin, with what an earlier run of this conductor left."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> None:
        """One round. Raises: Unavailable."""
        is_listening = self._hearing.listen()
        self._take_on()
        self._give_up(trust_silence=is_listening)
        self._send_again()
        self._promote_forgotten()
        if is_listening:
            self._publish_transitions()

    def _take_on(self) -> None:
        room = self._runner.room
        if not room:
            return
        with self._database.begin() as conn:
            taken = journal.take(
                conn, self._lease, running=self._runner.held, most=min(room, _MOST),
                former=self._former_owner,
            )  # fmt: skip
        for task in taken:
            LOG.info("Going on with %s of %s at %s", task.flow, task.instance_uuid, task.step)
            self._runner.put(task)
        if len(taken) < room:
            # The whole journal was seen: nothing of the earlier runs is left in it.
            self._former_owner = ""

    def _give_up(self, *, trust_silence: bool) -> None:
        with self._database.read() as conn:
            overdue = journal.overdue(
                conn, down_after_s=self._down_after_s, trust_silence=trust_silence, most=_MOST
            )
        for one in overdue:
            self._engine.give_up_waiting(one)

    def _send_again(self) -> None:
        with self._database.begin() as conn:
            unreported = journal.to_resend(conn, most=_MOST)
        for operation in unreported:
            self._engine.resend(operation)

    def _promote_forgotten(self) -> None:
        with self._database.read() as conn:
            forgotten = journal.with_forgotten_tasks(conn, most=_MOST)
        for instance_uuid in forgotten:
            self._engine.promote(instance_uuid)

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping.wait(pause_s):
            pause_s = self._interval_s * self._rng.uniform(0.8, 1.2)
            try:
                self.sweep()
            except Unavailable as away:
                if str(away) != self._problem:
                    LOG.warning("The sweep waits: %s", away)
                self._problem = str(away)
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("The sweep failed")
            else:
                self._problem = ""

# SPDX-License-Identifier: Apache-2.0
"""The engine: moves a task within one transaction, and does what follows from it after the commit.

The database holds the intent, a message is only the wake-up: whatever is lost between a commit
and what follows it is found by the sweep.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import KilonovaError, Unavailable, from_wire
from common.objects.operation import Operation, OperationReport
from common.observability import log
from services.conductor.db import journal, journal_signals
from services.conductor.db.engine import Database, sqlstate
from services.conductor.db.journal import Lease, Overtaken
from services.conductor.db.journal_task import Direction, Move, State, Task
from services.conductor.journal.crashpoints import CrashPoints
from services.conductor.journal.stepper import (
    Failures,
    Key,
    Outcome,
    StepFailed,
    Stepper,
    aborted,
    host_down,
    timed_out,
)

LOG = logging.getLogger(__name__)

# SQLSTATEs of a transaction that was in another's way: it is repeated.
_COLLIDED = ("40001", "40P01")
_MOST_TRIES = 20

Load = Callable[[Connection], Task | None]
OutcomeOf = Callable[[Task], Outcome | None]


class ToHosts(Protocol):
    """How operations reach hosts."""

    def send(self, operation: Operation) -> None:
        """Cast it. Raises: Unavailable."""

    def cancel(self, ctx: RequestContext, operation: Operation) -> None:
        """Have the host give it up. Raises: Unavailable."""


class Engine:
    """Moves tasks. `go_on` gets tasks that are leased to us and want to be run further."""

    def __init__(
        self,
        database: Database,
        stepper: Stepper,
        to_hosts: ToHosts,
        lease: Lease,
        crash: CrashPoints,
        go_on: Callable[[Task], None],
    ) -> None:
        self._database = database
        self._stepper = stepper
        self._to_hosts = to_hosts
        self._lease = lease
        self._crash = crash
        self._go_on = go_on

    # --- new tasks ---

    def admit(self, conn: Connection, new: list[Task]) -> Callable[[], None]:
        """Insert tasks in the caller's transaction; what is to be called after its commit.

        Queued ones wait for the task before them. Others are run on to their first call or host
        step at once. Raises: what a commit step raises.
        """
        moved: list[tuple[Task, Move | None]] = []
        for task in new:
            if task.state is State.QUEUED:
                moved.append((task, None))
                continue
            try:
                moved.append((task, self._stepper.settle(conn, task, None, {})))
            except StepFailed as failed:
                raise failed.error from failed
        journal.add(conn, moved, self._lease)

        def launch() -> None:
            for task, move in moved:
                if move is not None:
                    self._hand_on(self._follow(task, move))

        return launch

    # --- what moves a task ---

    def run(self, task: Task) -> None:
        """Run a task that is leased to us until it waits, pauses or ends.

        Raises: Unavailable (the database is away: the task is found again when it is back).
        """
        current: Task | None = task
        while current is not None:
            outcome = None
            if self._stepper.wants_call(current):
                outcome = self._call(current)
            current = self._move(_copy_of(current), _given(outcome), is_leased=True)

    def reported(self, report: OperationReport) -> None:
        """A host says how an operation ended. For one that nobody waits for: no effect."""
        error = from_wire(report.error) if report.error else None
        outcome = Outcome(result=report.result, error=error)
        known = False

        def load(conn: Connection) -> Task | None:
            nonlocal known
            task = journal.waiting_for(conn, report.operation_id)
            known = task is not None
            return task

        self._hand_on(self._move(load, _given(outcome), moment="reported"))
        if not known:
            self._paid(report)

    def give_up_waiting(self, overdue: journal.Overdue, *, if_undoable: bool = False) -> None:
        """Go on without the report of an operation, for the reason that `overdue` has.

        `if_undoable`: not for a task behind its point of no return.
        """

        def load(conn: Connection) -> Task | None:
            task = journal.waiting_for(conn, overdue.operation_id)
            if task is not None and if_undoable and self._stepper.is_beyond_return(task):
                return None
            return task

        def why(task: Task) -> Outcome:
            if overdue.aborted:
                return aborted()
            return host_down(task) if overdue.host_down else timed_out(task, overdue.waited_s)

        self._hand_on(self._move(load, why))

    def promote(self, instance_uuid: str) -> None:
        """Start the instance's next queued task, if nothing else moves."""
        with self._database.begin() as conn:
            task = journal.promote(conn, instance_uuid, self._lease)
        self._hand_on(task)

    def signal(self, instance_uuid: str, step: str, name: str, value: str) -> None:
        """A neighbour tells of what the instance's task may wait for, at `step`, now or later.

        The task has it from its next read on; one that pauses there goes on at once. Again: fine.
        """
        with self._database.begin() as conn:
            task = journal_signals.signal(
                conn, instance_uuid, step=step, name=name, value=value, lease=self._lease
            )
        self._hand_on(task)

    def resend(self, operation: Operation) -> None:
        """Send an operation (again); a broker that is away is no reason to stop."""
        try:
            self._to_hosts.send(operation)
        except Unavailable as away:
            LOG.warning("%s for %s waits: %s", operation.method, operation.host, away)

    # --- how ---

    def _call(self, task: Task) -> Outcome:
        names = [task.step or ""]
        self._reach(task, names, "begin")
        with log.bound(task.context, instance=task.instance_uuid):
            outcome = self._stepper.call(task)
        self._reach(task, names, "called")
        return outcome

    def _move(
        self, load: Load, outcome_of: OutcomeOf, *, is_leased: bool = False, moment: str = ""
    ) -> Task | None:
        """One transaction and what follows it; the task when we are to go on with it."""
        failures: dict[Key, KilonovaError] = {}
        for _ in range(_MOST_TRIES):
            try:
                moved = self._transact(load, outcome_of, failures, moment)
            except StepFailed as failed:
                failures[failed.key] = failed.error
            except Overtaken:
                # By a report that came twice, by an abort, or by who took our lease over.
                if is_leased:
                    return None
                failures.clear()
            except sa.DBAPIError as failure:
                if sqlstate(failure) not in _COLLIDED:
                    raise
            else:
                return self._follow(*moved) if moved else None
        LOG.error("A task could not be moved after %d tries; the sweep goes on", _MOST_TRIES)
        return None

    def _transact(
        self,
        load: Load,
        outcome_of: OutcomeOf,
        failures: Failures,
        moment: str,
    ) -> tuple[Task, Move] | None:
        with self._database.begin() as conn:
            task = load(conn)
            if task is None:
                return None
            with log.bound(task.context, instance=task.instance_uuid):
                if moment:
                    self._reach(task, [task.step or ""], moment)
                move = self._stepper.settle(conn, task, outcome_of(task), failures)
                self._reach(task, self._touched(task, move), "before_commit")
                saved = journal.save(conn, task, move, self._lease)
            task.abort_requested = saved.abort_requested
            move.is_awaited = saved.is_awaited
            if saved.is_told and move.retry_after_s is not None:
                self._look_again(conn, task, move)
        return task, move

    def _look_again(self, conn: Connection, task: Task, move: Move) -> None:
        """Go on at once with a task that was told of something while it looked for it in vain."""
        woken = journal_signals.wake(conn, task.instance_uuid, task.step or "", self._lease)
        if woken is not None:
            task.version, task.signals = woken.version, woken.signals
            move.retry_after_s = None

    def _follow(self, task: Task, move: Move) -> Task | None:
        """What is done after the commit. Dying anywhere in here costs time and nothing else."""
        self._reach(task, self._touched(task, move), "after_commit")
        self._tell(task, move)
        for do in task.after_commit:
            do()
        task.after_commit = []
        if move.cancel is not None:
            self._cancel(task, move.cancel)
        if task.state is State.WAITING:
            assert move.send is not None
            if task.abort_requested and task.direction is Direction.FORWARD:
                self.give_up_waiting(journal.Overdue(move.send.id, True, False, 0))
                return None
            # Only now: a fast host could otherwise report what no transaction can see yet.
            self.resend(move.send)
            self._reach(task, self._touched(task, move), "after_cast")
        if move.is_awaited:
            self.promote(task.instance_uuid)
        if task.state is State.RUNNABLE and move.retry_after_s is None:
            return task
        return None

    def _tell(self, task: Task, move: Move) -> None:
        with log.bound(task.context, instance=task.instance_uuid):
            for entry in move.entries:
                if entry.reason:
                    LOG.warning("%s %s failed: %s", entry.direction, entry.step, entry.reason)
            if task.state is State.FAILED:
                LOG.error("%s could not be undone: %s", task.flow, task.reason)
            elif task.state is State.UNDONE:
                LOG.info("%s was undone: %s", task.flow, task.reason)
            elif task.state is State.DONE:
                LOG.info("%s is done", task.flow)

    def _reach(self, task: Task, steps: list[str], moment: str) -> None:
        undo = task.direction is Direction.UNDO
        self._crash.reach(f"{task.flow}.undo" if undo else task.flow, steps, moment)

    def _touched(self, task: Task, move: Move) -> list[str]:
        at = [task.step] if task.step and task.state is State.WAITING else []
        return [*move.passed, *at]

    def _cancel(self, task: Task, operation: Operation) -> None:
        try:
            self._to_hosts.cancel(task.context, operation)
        except Unavailable as away:
            LOG.warning("%s was not told to give up: %s", operation.host, away)

    def _hand_on(self, task: Task | None) -> None:
        if task is not None:
            self._go_on(task)

    def _paid(self, report: OperationReport) -> None:
        with self._database.begin() as conn:
            settle = journal.pay if report.error is None else journal.owe_again
            instance = settle(conn, report.operation_id)
        if instance is None:
            LOG.debug("Nobody waits for operation %s any more", report.operation_id)
        elif report.error is None:
            LOG.info("%s has done what it owed for %s", report.host, instance)
        else:
            LOG.error(
                "%s could not do what it owes for instance %s, a guest may be left there; it will "
                "be asked again: %s", report.host, instance, report.error.message,
            )  # fmt: skip


def _copy_of(task: Task) -> Load:
    """Loads a task that is ours already; each try starts from a fresh copy."""
    return lambda _: task.copy()


def _given(outcome: Outcome | None) -> OutcomeOf:
    return lambda _: outcome

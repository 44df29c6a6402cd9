# SPDX-License-Identifier: Apache-2.0
"""The stepper: decides what comes next for a task. It runs commit steps and describes the others.

It works within the caller's transaction on a task that nobody else moves, and sends nothing.
"""

import logging
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.errors import (
    Internal,
    KilonovaError,
    NotReady,
    NotYet,
    StepTimedOut,
    Unavailable,
)
from common.objects.operation import Operation
from services.conductor.db.journal_task import Direction, Move, State, StepEntry, Task
from services.conductor.journal.flow import (
    UNDONE,
    Call,
    Commit,
    CommitFn,
    Flow,
    HostFn,
    HostStep,
    OnHost,
    PointOfNoReturn,
)

LOG = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 15.0
_LONGEST_POLL_S = 2.0
_UNDO_ATTEMPTS = 4


class StepFailed(Exception):
    """A commit step raised: the transaction must be rolled back, and the failure recorded anew."""

    def __init__(self, key: "Key", error: KilonovaError) -> None:
        super().__init__(str(error))
        self.key, self.error = key, error


Key = tuple[Direction, int]
Failures = Mapping[Key, KilonovaError]


@dataclass(frozen=True)
class Outcome:
    """How a call or an operation ended: plain data, or an error.

    `gave_up`: the host did not say so, somebody decided it; it is to be told.
    """

    result: Any = None
    error: KilonovaError | None = None
    gave_up: bool = False


@dataclass(frozen=True)
class Patience:
    """Seconds for which a step that fails for want of somebody is tried again.

    `undo_s` holds for undos, `beyond_return_s` for steps behind a point of no return, `not_ready_s`
    for what a neighbour is at work on.
    """

    forward_s: float = 60.0
    undo_s: float = 60.0
    beyond_return_s: float = 300.0
    not_ready_s: float = 600.0
    first_pause_s: float = 0.5


class Stepper:
    """Knows the flows by name."""

    def __init__(
        self, flows: Mapping[str, Flow], *, clock: Clock, rng: random.Random, patience: Patience
    ) -> None:
        self._flows = flows
        self._clock = clock
        self._rng = rng
        self._patience = patience

    def flow(self, task: Task) -> Flow:
        """The flow that a task runs."""
        return self._flows[task.flow]

    def call(self, task: Task) -> Outcome:
        """Make the call that a task is at; blocks for as long as the neighbour takes."""
        step = self.flow(task).steps[task.step_index]
        if not isinstance(step, Call):
            raise TypeError(f"{task.flow} {step.name} is no call")
        run = step.undo if task.direction is Direction.UNDO else step.run
        try:
            return Outcome(result=msgspec.to_builtins(run(task)) if run else None)
        except KilonovaError as refused:
            return Outcome(error=refused)
        except Exception as unexpected:  # the outermost frame of a step
            LOG.exception("%s of %s failed unexpectedly", step.name, task.flow)
            return Outcome(error=Internal(reason=type(unexpected).__name__))

    def wants_call(self, task: Task) -> bool:
        """Whether the task is at a call that is to be made before anything else."""
        if task.direction is Direction.FORWARD and self._is_to_turn(task):
            return False
        steps = self.flow(task).steps
        at = steps[task.step_index] if 0 <= task.step_index < len(steps) else None
        if not isinstance(at, Call):
            return False
        return at.undo is not None if task.direction is Direction.UNDO else at.when(task)

    def settle(
        self, conn: Connection, task: Task, outcome: Outcome | None, failures: Failures
    ) -> Move:
        """Take in `outcome`, then run on to the next call, host step or end.

        `failures` are commit steps that raised when this was tried before: they are not run.
        Raises: StepFailed.
        """
        move = Move()
        task.state = State.RUNNABLE
        if outcome is not None:
            self._take_in(task, move, outcome)
        while task.state is State.RUNNABLE and move.retry_after_s is None and not move.keep_lease:
            if task.direction is Direction.FORWARD:
                self._forward(conn, task, move, failures)
            else:
                self._undo(conn, task, move, failures)
        self._name_the_step(task)
        return move

    # --- one step at a time ---

    def _forward(self, conn: Connection, task: Task, move: Move, failures: Failures) -> None:
        steps = self.flow(task).steps
        if self._is_to_turn(task):
            task.reason = task.reason or "given up for a later request"
            self._turn_back(task)
            return
        if task.step_index == len(steps):
            task.state, task.reason = State.DONE, None
            return
        step = steps[task.step_index]
        if isinstance(step, PointOfNoReturn):
            self._next(task)
        elif isinstance(step, Commit):
            self._begin(task)
            self._commit(conn, task, move, step.run, failures)
        elif isinstance(step, Call):
            if step.when(task):
                self._begin(task)
                move.keep_lease = True
            else:
                self._next(task)
        else:
            self._begin(task)
            self._order(conn, task, move, step.run, failures)

    def _undo(self, conn: Connection, task: Task, move: Move, failures: Failures) -> None:
        if task.rewind_to is not None and task.step_index < task.rewind_to:
            task.direction, task.step_index, task.rewind_to = (
                Direction.FORWARD, task.rewind_to, None,
            )  # fmt: skip
            task.rewinds += 1
            return
        if task.step_index < 0:
            self._end_undone(conn, task)
            return
        step = self.flow(task).steps[task.step_index]
        if isinstance(step, PointOfNoReturn) or step.undo is None:
            self._next(task)
        elif isinstance(step, Commit):
            self._begin(task)
            self._commit(conn, task, move, step.undo, failures)
        elif isinstance(step, Call):
            self._begin(task)
            move.keep_lease = True
        else:
            self._begin(task)
            self._order(conn, task, move, step.reverse, failures)

    def _commit(
        self, conn: Connection, task: Task, move: Move, run: CommitFn, failures: Failures
    ) -> None:
        key = (task.direction, task.step_index)
        if key in failures:
            self._take_in(task, move, Outcome(error=failures[key]))
            return
        try:
            result = msgspec.to_builtins(run(conn, task))
        except KilonovaError as refused:
            raise StepFailed(key, refused) from refused
        self._take_in(task, move, Outcome(result))

    def _order(
        self, conn: Connection, task: Task, move: Move, describe: HostFn, failures: Failures
    ) -> None:
        key = (task.direction, task.step_index)
        if key in failures:
            self._take_in(task, move, Outcome(error=failures[key]))
            return
        try:
            order = describe(conn, task)
        except KilonovaError as refused:
            raise StepFailed(key, refused) from refused
        self._send(task, move, order)

    def _send(self, task: Task, move: Move, order: HostStep | None) -> None:
        if order is None:
            self._next(task)
            return
        operation = Operation(
            id=order.operation_id,
            host=order.host,
            rpc_server=order.rpc_server,
            instance_uuid=task.instance_uuid,
            method=order.method,
            payload=order.payload,
            context=task.context,
        )
        task.host = order.host
        if order.owable and not order.host_is_up:
            self._owe(task, move, operation)
            self._take_in(task, move, Outcome())
            return
        task.state = State.WAITING
        task.operation_id, task.operation, task.owable = operation.id, operation, order.owable
        move.deadline_s = order.deadline_s
        move.send = operation

    # --- how a step ended ---

    def _take_in(self, task: Task, move: Move, outcome: Outcome) -> None:
        step = self.flow(task).steps[task.step_index]
        operation, owable = task.operation, task.owable
        task.operation, task.operation_id, task.owable = None, None, False
        move.passed.append(step.name)
        error = outcome.error
        if operation is not None and outcome.gave_up:
            if owable:
                self._owe(task, move, operation)
                error = None
            else:
                move.cancel = operation
        entry = self._entry(task, step, error)
        move.entries.append(entry)
        if error is None:
            if outcome.result is not None:
                undone = "" if task.direction is Direction.FORWARD else UNDONE
                task.results[undone + step.name] = outcome.result
            self._next(task)
        elif isinstance(error, _Aborted):
            task.reason = str(error)
            self._turn_back(task)
        elif (onward := self._onward(task, step, error)) is not None:
            LOG.warning("%s goes on at %s after all: %s", task.flow, onward, error)
            task.direction, task.rewind_to = Direction.FORWARD, None
            task.step_index = self.flow(task).index_of(onward)
            task.attempt, task.step_started_at, task.host = 0, None, None
        elif self._retried(task, move, error):
            task.reason = str(error)
            if isinstance(error, NotReady):  # looking again is nothing to write down
                move.entries.remove(entry)
        elif task.direction is Direction.UNDO:
            where = f" on {task.host}" if task.host and isinstance(step, OnHost) else ""
            task.results["undo_failed"] = [
                *task.results.get("undo_failed", ()),
                f"Undoing {step.name}{where} failed: {error}",
            ]
            self._next(task)
        else:
            self._give_up(task, step, error)

    def _give_up(self, task: Task, step: Any, error: KilonovaError) -> None:
        flow = self.flow(task)
        task.reason = str(error)
        task.results["error"] = msgspec.to_builtins(error.to_wire())
        if self.is_beyond_return(task):
            where = f" on {task.host}" if task.host and isinstance(step, OnHost) else ""
            task.results["undo_failed"] = [f"{step.name}{where} failed: {error}"]
            task.direction, task.step_index = Direction.UNDO, -1
            return
        target = None if task.abort_requested else flow.rewind(task, step.name, error)
        self._turn_back(task, skip_current=isinstance(step, Commit))
        task.rewind_to = None if target is None else flow.index_of(target)

    def _turn_back(self, task: Task, *, skip_current: bool = False) -> None:
        """Undo from here: the step that failed as well, unless a rollback has done so."""
        task.direction = Direction.UNDO
        task.step_index = min(task.step_index, len(self.flow(task).steps) - 1)
        task.attempt, task.step_started_at = 0, None
        if skip_current:
            task.step_index -= 1

    def _onward(self, task: Task, step: Any, error: KilonovaError) -> str | None:
        # What is to be deleted need not go on anywhere.
        if task.direction is Direction.FORWARD or task.abort_requested:
            return None
        return self.flow(task).onward(task, step.name, error)

    def _retried(self, task: Task, move: Move, error: KilonovaError) -> bool:
        """Arrange another attempt where the error and the step's patience allow one."""
        stubborn = task.direction is Direction.UNDO or self.is_beyond_return(task)
        task.attempt += 1
        if isinstance(error, Unavailable):
            window_s = self._window_s(task, error)
            started_at = task.step_started_at or self._clock.now()
            if (self._clock.now() - started_at).total_seconds() > window_s:
                return False
        elif not stubborn or task.attempt >= _UNDO_ATTEMPTS:
            return False
        longest_s = _LONGEST_POLL_S if isinstance(error, NotReady) else _LONGEST_PAUSE_S
        pause_s = min(self._patience.first_pause_s * 2 ** min(task.attempt - 1, 10), longest_s)
        move.retry_after_s = pause_s * self._rng.uniform(0.7, 1.3)
        return True

    def _window_s(self, task: Task, error: KilonovaError) -> float:
        if isinstance(error, NotYet):
            return math.inf
        if isinstance(error, NotReady):
            return self._patience.not_ready_s
        if task.direction is Direction.UNDO:
            return self._patience.undo_s
        if self.is_beyond_return(task):
            return self._patience.beyond_return_s
        return self._patience.forward_s

    def _end_undone(self, conn: Connection, task: Task) -> None:
        failures = task.results.get("undo_failed")
        if failures:
            task.reason = "; ".join(failures)
            self.flow(task).failed(conn, task)
            task.state = State.FAILED
        else:
            self.flow(task).undone(conn, task)
            task.state = State.UNDONE

    def _owe(self, task: Task, move: Move, operation: Operation) -> None:
        LOG.warning(
            "%s of %s is left to %s, which is down", operation.method, task.instance_uuid, task.host
        )
        move.owed.append(operation)

    # --- small change ---

    def _begin(self, task: Task) -> None:
        if task.step_started_at is None:
            task.step_started_at = self._clock.now()

    def _next(self, task: Task) -> None:
        task.step_index += 1 if task.direction is Direction.FORWARD else -1
        task.attempt, task.step_started_at, task.host = 0, None, None

    def is_beyond_return(self, task: Task) -> bool:
        """Whether a task has passed its point of no return."""
        return any(
            isinstance(step, PointOfNoReturn) for step in self.flow(task).steps[: task.step_index]
        )

    def _is_to_turn(self, task: Task) -> bool:
        return task.abort_requested and not self.is_beyond_return(task)

    def _name_the_step(self, task: Task) -> None:
        steps = self.flow(task).steps
        is_at_one = 0 <= task.step_index < len(steps)
        task.step = steps[task.step_index].name if is_at_one else None

    def _entry(self, task: Task, step: Any, error: KilonovaError | None) -> StepEntry:
        now = self._clock.now()
        return StepEntry(
            step=step.name,
            event=step.event,
            direction=task.direction,
            attempt=task.attempt + 1,
            host=task.host,
            started_at=task.step_started_at or now,
            finished_at=now,
            outcome="Success" if error is None else "Error",
            reason=None if error is None else str(error),
        )


class _Aborted(KilonovaError):
    """The task is given up because the instance is to be deleted."""

    message = "given up for a later request"


def aborted() -> Outcome:
    """The outcome of an operation that a deletion does not wait for."""
    return Outcome(error=_Aborted(), gave_up=True)


def timed_out(task: Task, deadline_s: float) -> Outcome:
    """The outcome of an operation that was not reported in time."""
    error = StepTimedOut(step=task.step, host=task.host, deadline_s=round(deadline_s))
    return Outcome(error=error, gave_up=True)


def host_down(task: Task) -> Outcome:
    """The outcome of an operation whose host is not heard from any more."""
    return Outcome(
        error=StepTimedOut(
            f"Host {task.host} is down: {task.step} was not finished there.",
            step=task.step, host=task.host,
        ),
        gave_up=True,
    )  # fmt: skip

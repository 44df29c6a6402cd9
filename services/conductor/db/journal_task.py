# SPDX-License-Identifier: Apache-2.0
"""A task: one run of a flow, as the engine holds it while it moves it."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from common.context import RequestContext
from common.objects.operation import Operation

_T = TypeVar("_T")


class State(StrEnum):
    """Where a task is. The first three are unfinished."""

    QUEUED = "queued"
    RUNNABLE = "runnable"
    WAITING = "waiting"
    DONE = "done"
    UNDONE = "undone"
    FAILED = "failed"


class Direction(StrEnum):
    """Which way a task goes."""

    FORWARD = "forward"
    UNDO = "undo"


class StepEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run of a step, in the history that a task keeps."""

    step: str
    event: str | None = None
    direction: str = Direction.FORWARD
    attempt: int = 1
    host: str | None = None
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None


class Task(msgspec.Struct, kw_only=True):
    """One run of a flow. Field names are column names of the table `tasks`.

    `results` has what steps gave, by step name, as plain data; `signals` what neighbours have told
    of by the time it was read.
    """

    uuid: str
    flow: str
    instance_uuid: str
    context: RequestContext
    params: dict[str, Any]
    results: dict[str, Any] = {}
    signals: dict[str, str] = {}
    secret: str | None = None
    state: State = State.RUNNABLE
    direction: Direction = Direction.FORWARD
    step_index: int = 0
    step: str | None = None
    step_started_at: datetime | None = None
    attempt: int = 0
    rewinds: int = 0
    rewind_to: int | None = None
    operation_id: str | None = None
    operation: Operation | None = None
    owable: bool = False
    host: str | None = None
    abort_requested: bool = False
    version: int = 0
    reason: str | None = None
    # Not a column: what steps want done once their transaction is committed.
    after_commit: list[Any] = []

    def after(self, do: Callable[[], None]) -> None:
        """Have `do` called once the running transaction is committed."""
        self.after_commit.append(do)

    def result(self, step: str, kind: type[_T]) -> _T:
        """What `step` gave, as an object of `kind`. Raises KeyError where it has not run."""
        return msgspec.convert(self.results[step], kind)

    def copy(self) -> "Task":
        """A task whose changes do not show in this one."""
        return msgspec.structs.replace(self, results=dict(self.results), after_commit=[])


class Move(msgspec.Struct, kw_only=True):
    """What moving a task within one transaction has brought, to be written or done after it.

    `keep_lease`: the mover goes on with the task at once. `is_awaited`: another task of the
    instance waits for this one, which has ended. `owed`: operations left to their hosts.
    `send` and `cancel`: operations to send or give up once this is committed.
    """

    entries: list[StepEntry] = []
    keep_lease: bool = False
    retry_after_s: float | None = None
    deadline_s: float | None = None
    owed: list[Operation] = []
    send: Operation | None = None
    cancel: Operation | None = None
    passed: list[str] = []
    is_awaited: bool = False

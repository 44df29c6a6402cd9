# SPDX-License-Identifier: Apache-2.0
"""What a flow is made of: steps of three kinds, and the point after which nothing is undone.

A step does one thing: it commits, or calls a neighbour, or has a host do something. It raises a
KilonovaError when it fails: `Unavailable` is tried again for a while, anything else is final.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from common.errors import KilonovaError
from services.conductor.db.journal_task import Task


@dataclass(frozen=True)
class HostStep:
    """What a host shall do: `method` of the Compute interface with an encoded payload.

    `rpc_server` is the queue of the host's daemon. With `owable` the task goes on without the
    host when that is down; the operation is delivered when it comes back.
    """

    operation_id: str
    host: str
    rpc_server: str
    method: str
    payload: str
    deadline_s: float
    owable: bool = False
    host_is_up: bool = True


# What a step gives to those behind it: plain data, under the step's name in `task.results`; what
# its undo gives, under that name behind UNDONE.
UNDONE = "undo:"
Result = object
CommitFn = Callable[[Connection, Task], Result]
CallFn = Callable[[Task], Result]
HostFn = Callable[[Connection, Task], HostStep | None]


def _always(_: Task) -> bool:
    return True


@dataclass(frozen=True)
class Commit:
    """Changes rows, in the transaction that also records that it was done: it never runs twice.

    It is undone the same way. `event` is what users of instance actions know the step as.
    """

    run: CommitFn
    undo: CommitFn | None = None
    event: str | None = None

    @property
    def name(self) -> str:
        return self.run.__name__


@dataclass(frozen=True)
class Call:
    """Asks a neighbour. Its result is kept by the next commit, so a crash in between repeats it.

    `when` says whether there is anything to ask.
    """

    run: CallFn
    undo: CallFn | None = None
    event: str | None = None
    when: Callable[[Task], bool] = _always

    @property
    def name(self) -> str:
        return self.run.__name__


@dataclass(frozen=True)
class OnHost:
    """Has a host do something, under an id; None says that there is nothing to do.

    `run` and `undo` only describe it, in a transaction; the message goes out after the commit,
    and again until the host reports or the deadline has passed.
    """

    run: HostFn
    undo: HostFn | None = None
    event: str | None = None

    @property
    def name(self) -> str:
        return self.run.__name__

    def reverse(self, conn: Connection, task: Task) -> HostStep | None:
        """What the host shall do to undo it."""
        return None if self.undo is None else self.undo(conn, task)


@dataclass(frozen=True)
class PointOfNoReturn:
    """Steps behind it are only repeated forward."""

    reason: str

    @property
    def name(self) -> str:
        return "point_of_no_return"


Step = Commit | Call | OnHost | PointOfNoReturn


class Flow:
    """A long operation. Subclasses say in their docstring every way it can end."""

    name: str
    steps: tuple[Step, ...]

    def rewind(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """The step to go back to and try again from, after `step` failed for good; None: give up.

        May note in `task.results` what the next try must know.
        """
        return None

    def onward(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """The step behind the point of no return to go on from, where undoing `step` has shown
        that what was given up has happened all the same; None: it has not.
        """
        return None

    def undone(self, conn: Connection, task: Task) -> None:
        """Every step was undone, or given up as a deletion wants: leave the instance at rest."""

    def failed(self, conn: Connection, task: Task) -> None:
        """Something could neither be done nor undone: `task.reason` says what and where."""

    def index_of(self, step: str) -> int:
        """The place of a step in the flow."""
        return next(i for i, s in enumerate(self.steps) if s.name == step)

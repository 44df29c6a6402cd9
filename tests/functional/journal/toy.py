# SPDX-License-Identifier: Apache-2.0
"""A toy flow with every kind of step, and an engine whose hosts do what a test says.

Commit steps write into a real row (the instance's metadata), so a test sees what was rolled back.
"""

import random
import threading
import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from common.context import RequestContext
from common.errors import HypervisorError, Unavailable
from common.objects.operation import OperationReport
from services.conductor.db import journal
from services.conductor.db.journal import Lease, Overdue
from services.conductor.db.journal_task import State, Task
from services.conductor.journal import crashpoints
from services.conductor.journal.engine import Engine
from services.conductor.journal.flow import Call, Commit, Flow, HostStep, OnHost, PointOfNoReturn
from services.conductor.journal.stepper import Patience, Stepper
from tests.functional.db.rows import PROJECT, USER, add, add_hosts, make_instance, make_report

STEPS = ("take", "ask", "make", "show")
PATIENCE = Patience(forward_s=30, undo_s=60, first_pause_s=0.001)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.at = datetime(2026, 1, 2, 12, tzinfo=UTC)

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


class Toy(Flow):
    """take [commit] -> ask [call] -> make [host] -> show [commit]; all but the last have undos.

    `wrong` has the error that a step raises, by (step, direction); each run takes one of a list.
    """

    name = "toy"

    def __init__(self, *, return_before=None, rewinds=0):
        self.ran: list[str] = []
        self.wrong: dict[str, list[Exception]] = {}
        self.ends: list[str] = []
        self.rewinds_left = rewinds
        self.owable = False
        steps = [
            Commit(self.take, undo=self.give_back),
            Call(self.ask, undo=self.unask),
            OnHost(self.make, undo=self.unmake, event="toy_make"),
            Commit(self.show),
        ]
        if return_before is not None:
            steps.insert(STEPS.index(return_before), PointOfNoReturn("the test wants it"))
        self.steps = tuple(steps)

    def _note(self, name):
        self.ran.append(name)
        waiting = self.wrong.get(name)
        if waiting:
            raise waiting.pop(0)

    def take(self, conn, task):
        _write(conn, task, "taken")
        self._note("take")
        return {"amount": 7}

    def give_back(self, conn, task):
        _write(conn, task, "given back")
        self._note("give_back")

    def ask(self, task):
        self._note("ask")
        return {"answer": task.results["take"]["amount"] * 6}

    def unask(self, task):
        self._note("unask")

    def make(self, conn, task):
        self._note("make")
        return self._order("make")

    def unmake(self, conn, task):
        self._note("unmake")
        return self._order("unmake", owable=True)

    def _order(self, method, owable=False):
        return HostStep(
            str(uuid.uuid4()), "host1", "host1", method, "{}", 60, owable or self.owable
        )

    def show(self, conn, task):
        _write(conn, task, f"shown {task.results['ask']['answer']}")
        self._note("show")

    def rewind(self, task, step, error):
        if step != "make" or not self.rewinds_left:
            return None
        self.rewinds_left -= 1
        return "ask"

    def undone(self, conn, task):
        self.ends.append("undone")

    def failed(self, conn, task):
        self.ends.append("failed")


def _write(conn, task, value):
    conn.execute(
        text("UPDATE instances SET description = :value WHERE uuid = :uuid"),
        {"value": value, "uuid": task.instance_uuid},
    )


class Hosts:
    """Keeps what was sent; a test reports when it wants to."""

    def __init__(self):
        self.sent = []
        self.cancelled = []
        self.away = False

    def send(self, operation):
        if self.away:
            raise Unavailable(service="The message broker")
        self.sent.append(operation)

    def cancel(self, ctx, operation):
        self.cancelled.append(operation.id)


class Bench:
    """An engine on a database, with tasks run by the calling thread."""

    def __init__(self, database, flow, *, owner="me#1"):
        self.database, self.flow = database, flow
        self.hosts, self.clock = Hosts(), Clock()
        self.lease = Lease(owner, 30, 10)
        self.todo: list[Task] = []
        self.engine = self.another(owner)
        self._lock = threading.Lock()

    def another(self, owner):
        """An engine of another conductor on the same database and flow."""
        stepper = Stepper(
            {"toy": self.flow}, clock=self.clock, rng=random.Random(1), patience=PATIENCE
        )
        return Engine(
            self.database, stepper, self.hosts, Lease(owner, 30, 10), crashpoints.none(),
            self.todo.append,
        )  # fmt: skip

    def begin(self, *, state=State.RUNNABLE, instance=None):
        """Accept a task and run it as far as it goes."""
        if instance is None:
            instance = add(self.database, make_instance())
            if not self.known_hosts():
                add_hosts(self.database, make_report("host1"))
        ctx = RequestContext(request_id="req-1", project_id=PROJECT, user_id=USER)
        task = Task(
            uuid=str(uuid.uuid4()), flow="toy", instance_uuid=instance.uuid, context=ctx,
            params={}, secret="hidden", state=state,
        )  # fmt: skip
        with self.database.begin() as conn:
            launch = self.engine.admit(conn, [task])
        launch()
        self.run_all()
        return task.uuid

    def run_all(self):
        while self.todo:
            self.engine.run(self.todo.pop(0))

    def report(self, *, error=None, number=-1, again=False):
        """The host reports the operation that was sent last."""
        operation = self.hosts.sent[number]
        report = OperationReport(
            operation_id=operation.id, host=operation.host, result={"power_state": 1},
            error=error.to_wire() if error else None,
        )  # fmt: skip
        for _ in range(2 if again else 1):
            self.engine.reported(report)
        self.run_all()

    def give_up(self, number=-1, *, aborted=False, host_down=False, waited_s=61.0):
        """The sweep finds that an operation is not to be waited for."""
        self.engine.give_up_waiting(
            Overdue(self.hosts.sent[number].id, aborted, host_down, waited_s)
        )
        self.run_all()

    def resume(self, *, owner="other#1"):
        """Another conductor takes on what nobody moves, once pauses and leases are over."""
        with self.database.begin() as conn:
            conn.execute(text("UPDATE tasks SET next_run_at = NULL, lease_until = NULL"))
            taken = journal.take(conn, Lease(owner, 30, 10), running=[], most=10)
        for task in taken:
            self.engine.run(task)
            self.run_all()
        return len(taken)

    def known_hosts(self):
        with self.database.begin() as conn:
            return conn.execute(text("SELECT count(*) FROM services")).scalar_one()

    def row(self, uuid_):
        with self.database.begin() as conn:
            return conn.execute(
                text("SELECT * FROM tasks WHERE uuid = :uuid"), {"uuid": uuid_}
            ).one()

    def written(self, uuid_):
        """What commit steps wrote last."""
        with self.database.begin() as conn:
            return conn.execute(
                text(
                    "SELECT i.description FROM instances i JOIN tasks t"
                    " ON t.instance_uuid = i.uuid WHERE t.uuid = :uuid"
                ),
                {"uuid": uuid_},
            ).scalar_one()


BROKEN = HypervisorError(reason="it broke")
AWAY = Unavailable(service="The neighbour")

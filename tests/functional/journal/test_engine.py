# SPDX-License-Identifier: Apache-2.0
"""The engine moves a toy flow over a real database: forward, back, again, and past its killers."""

import pytest
from sqlalchemy import text

from common.errors import Conflict, HypervisorError
from common.objects.operation import OperationReport
from services.conductor.db import journal
from services.conductor.db.journal import Lease
from services.conductor.db.journal_task import State
from tests.functional.journal.toy import AWAY, BROKEN, Bench, Toy

pytestmark = pytest.mark.functional


@pytest.fixture
def bench(database):
    return Bench(database, Toy())


def test_a_flow_runs_to_its_end_and_keeps_what_its_steps_gave(bench):
    task = bench.begin()
    assert bench.row(task).state == "waiting"

    bench.report()

    row = bench.row(task)
    assert (row.state, row.secret, row.operation) == ("done", None, None)
    assert row.results["make"] == {"power_state": 1}
    assert bench.written(task) == "shown 42"
    assert bench.flow.ran == ["take", "ask", "make", "show"]


def test_a_call_and_the_host_step_after_it_cost_two_commits(bench, queries):
    with queries.at_most(9):  # with the instance and the host that the test itself makes
        bench.begin()


def test_a_report_that_comes_twice_counts_once(bench):
    task = bench.begin()

    bench.report(again=True)

    assert bench.row(task).state == "done"
    assert bench.flow.ran.count("show") == 1


@pytest.mark.parametrize(
    ("broken", "undone_by"),
    [
        ("ask", ["unask", "give_back"]),
        ("make", ["unmake", "unask", "give_back"]),
        ("show", ["unmake", "unask", "give_back"]),
    ],
)
def test_a_step_that_fails_for_good_is_undone_with_those_before_it(bench, broken, undone_by):
    bench.flow.wrong[broken] = [Conflict("no")]

    task = bench.begin()
    while bench.row(task).state == "waiting":
        bench.report()

    row = bench.row(task)
    assert (row.state, row.reason) == ("undone", "no")
    assert [name for name in bench.flow.ran if name not in ("take", "ask", "make", "show")] == (
        undone_by
    )
    assert bench.flow.ends == ["undone"]
    assert bench.written(task) == ("given back" if undone_by else None)


def test_what_fails_before_the_task_is_accepted_refuses_the_request(bench):
    bench.flow.wrong["take"] = [Conflict("no")]

    with pytest.raises(Conflict):
        bench.begin()

    with bench.database.begin() as conn:
        assert conn.execute(text("SELECT count(*) FROM tasks")).scalar_one() == 0


def test_what_a_host_reports_as_failed_is_undone(bench):
    task = bench.begin()

    bench.report(error=BROKEN)
    bench.report()

    assert bench.row(task).state == "undone"
    assert "it broke" in bench.row(task).reason


@pytest.mark.parametrize("step", ["ask", "make", "show"])
def test_a_step_whose_neighbour_is_away_is_tried_again_later(bench, step):
    bench.flow.wrong[step] = [AWAY, AWAY]

    task = bench.begin()
    for _ in range(3):
        if bench.row(task).state == "waiting":
            bench.report()
        bench.resume()
    if bench.row(task).state == "waiting":
        bench.report()

    assert bench.row(task).state == "done"
    assert bench.flow.ran.count(step) == 3


def test_patience_ends_and_the_task_is_undone(bench):
    bench.flow.wrong["ask"] = [AWAY] * 5
    task = bench.begin()

    bench.clock.forward(31)
    bench.resume()

    assert bench.row(task).state == "undone"
    assert bench.written(task) == "given back"


@pytest.mark.parametrize("undo", ["unmake", "unask", "give_back"])
def test_an_undo_that_fails_for_good_does_not_keep_the_others_from_running(bench, undo):
    bench.flow.wrong |= {"show": [Conflict("no")], undo: [Conflict("never")] * 9}

    task = bench.begin()
    for _ in range(9):
        if bench.row(task).state == "waiting":
            bench.report()
        bench.resume()

    row = bench.row(task)
    assert row.state == "failed"
    assert "never" in row.reason
    assert bench.flow.ends == ["failed"]
    assert {"unmake", "unask", "give_back"} <= set(bench.flow.ran)


def test_a_task_goes_back_and_tries_again_where_its_flow_says_so(database):
    bench = Bench(database, Toy(rewinds=1))
    task = bench.begin()

    bench.report(error=BROKEN)  # make
    bench.report()  # unmake
    bench.report()  # make again

    assert bench.row(task).state == "done"
    assert bench.row(task).rewinds == 1
    assert bench.flow.ran == [
        "take", "ask", "make", "unmake", "unask", "ask", "make", "show",
    ]  # fmt: skip


def test_behind_the_point_of_no_return_nothing_is_undone(database):
    bench = Bench(database, Toy(return_before="make"))
    task = bench.begin()

    for _ in range(8):
        if bench.row(task).state == "waiting":
            bench.report(error=BROKEN)
        bench.resume()

    assert bench.row(task).state == "failed"
    assert "make on host1 failed" in bench.row(task).reason
    assert bench.flow.ran.count("make") > 2
    assert not {"unmake", "unask", "give_back"} & set(bench.flow.ran)


def test_an_aborted_task_cancels_its_operation_and_undoes_what_it_did(bench):
    task = bench.begin()
    with bench.database.begin() as conn:
        journal.request_abort(conn, [task])

    bench.give_up(aborted=True)
    bench.report()

    assert bench.hosts.cancelled == [bench.hosts.sent[0].id]
    assert bench.row(task).state == "undone"
    assert bench.row(task).reason == "given up for a later request"
    assert bench.written(task) == "given back"


def test_behind_the_point_of_no_return_a_call_is_made_though_the_task_is_to_end(database):
    bench = Bench(database, Toy(return_before="ask"))
    bench.flow.wrong["ask"] = [AWAY]
    task = bench.begin()
    with bench.database.begin() as conn:
        journal.request_abort(conn, [task])

    bench.resume()

    assert bench.flow.ran.count("ask") == 2
    assert bench.row(task).step == "make"


def test_the_report_of_a_cancelled_operation_has_no_effect(bench):
    task = bench.begin()
    with bench.database.begin() as conn:
        journal.request_abort(conn, [task])
    bench.give_up(aborted=True)

    bench.report(number=0)

    assert bench.row(task).direction == "undo"
    assert bench.row(task).state == "waiting"


def test_an_operation_past_its_deadline_is_given_up(bench):
    task = bench.begin()

    bench.give_up(waited_s=61)
    bench.report()

    assert bench.row(task).reason == "Step make on host1 did not finish within 61 s."


def test_what_a_dead_host_should_undo_is_owed_and_delivered_later(bench):
    bench.flow.wrong["show"] = [Conflict("no")]
    task = bench.begin()
    bench.report()
    unmake = bench.hosts.sent[-1]

    bench.give_up(host_down=True)

    assert bench.row(task).state == "undone"
    with bench.database.begin() as conn:
        assert [o.id for o in journal.pending_of(conn, ["host1"])] == [unmake.id]
    bench.engine.reported(OperationReport(operation_id=unmake.id, host="host1"))
    with bench.database.begin() as conn:
        assert journal.pending_of(conn, ["host1"]) == []


def test_what_a_host_failed_to_do_that_it_owes_is_asked_for_again_later(bench):
    bench.flow.wrong["show"] = [Conflict("no")]
    bench.begin()
    bench.report()
    unmake = bench.hosts.sent[-1]
    bench.give_up(host_down=True)
    error = HypervisorError(reason="busy").to_wire()

    bench.engine.reported(OperationReport(operation_id=unmake.id, host="host1", error=error))

    with bench.database.begin() as conn:
        assert journal.pending_of(conn, ["host1"]) == []
        conn.execute(text("UPDATE owed_operations SET not_before = now()"))
    with bench.database.begin() as conn:
        (again,) = journal.pending_of(conn, ["host1"])
    assert (again.id, again.again) == (unmake.id, True)


def test_an_operation_that_was_not_reported_is_sent_again_under_its_id(bench):
    bench.begin()
    with bench.database.begin() as conn:
        conn.execute(text("UPDATE tasks SET resend_at = now() - interval '1 second'"))
        unreported = journal.to_resend(conn, most=10)

    for operation in unreported:
        bench.engine.resend(operation)

    assert [o.id for o in bench.hosts.sent] == [bench.hosts.sent[0].id] * 2


def test_a_broker_that_is_away_only_delays(bench):
    bench.hosts.away = True

    task = bench.begin()

    assert bench.row(task).state == "waiting"
    with bench.database.begin() as conn:
        assert len(journal.pending_of(conn, ["host1"])) == 1


def test_an_expired_lease_is_taken_by_one_conductor_only(bench):
    bench.flow.wrong["ask"] = [AWAY]
    bench.begin()
    with bench.database.begin() as conn:
        conn.execute(text("UPDATE tasks SET next_run_at = NULL"))

    with bench.database.begin() as one, bench.database.begin() as two:
        first = journal.take(one, Lease("a#1", 30, 10), running=[], most=5)
        second = journal.take(two, Lease("b#1", 30, 10), running=[], most=5)

    assert (len(first), len(second)) == (1, 0)


def test_who_lost_a_lease_writes_nothing(bench):
    bench.flow.wrong["ask"] = [AWAY]
    uuid = bench.begin()
    with bench.database.begin() as conn:
        conn.execute(text("UPDATE tasks SET next_run_at = NULL"))
        (mine,) = journal.take(conn, Lease("a#1", 30, 10), running=[], most=5)
    bench.resume(owner="b#1")
    before = bench.row(uuid)

    bench.engine.run(mine)

    assert bench.row(uuid) == before


def test_a_conductor_takes_back_at_once_what_its_earlier_run_had(bench):
    bench.flow.wrong["ask"] = [AWAY]
    bench.begin()
    with bench.database.begin() as conn:
        conn.execute(
            text(
                "UPDATE tasks SET next_run_at = NULL, lease_owner = 'me#0',"
                " lease_until = now() + interval '1 hour'"
            )
        )
        other = journal.take(conn, Lease("you#1", 30, 10), running=[], most=5, former="you#")
        own = journal.take(conn, Lease("me#1", 30, 10), running=[], most=5, former="me#")

    assert (len(other), len(own)) == (0, 1)


def test_a_queued_task_starts_when_the_one_before_it_ends(bench, database):
    first = bench.begin()
    with database.begin() as conn:
        instance = conn.execute(text("SELECT uuid FROM instances")).one()
    second = bench.begin(state=State.QUEUED, instance=instance)
    assert bench.row(second).state == "queued"

    bench.report()

    assert bench.row(first).state == "done"
    assert bench.row(second).state == "waiting"


def test_one_instance_has_one_moving_task(bench, database):
    bench.begin()
    with database.begin() as conn:
        instance = conn.execute(text("SELECT uuid FROM instances")).one()

    with pytest.raises(Exception, match="uq_tasks_one_an_instance"):
        bench.begin(instance=instance)


def test_the_history_tells_every_step_with_its_outcome(bench, database):
    task = bench.begin()
    bench.report(error=BROKEN)
    bench.report()

    with database.begin() as conn:
        record = journal.show(conn, task)
        events = journal.events_of(conn, task)

    assert [(s.step, s.direction, s.outcome) for s in record.steps] == [
        ("take", "forward", "Success"), ("ask", "forward", "Success"),
        ("make", "forward", "Error"), ("make", "undo", "Success"), ("ask", "undo", "Success"),
        ("take", "undo", "Success"),
    ]  # fmt: skip
    assert record.steps[2].host == "host1"
    assert [(e.event, e.result) for e in events][-1] == ("toy_make", "Error")

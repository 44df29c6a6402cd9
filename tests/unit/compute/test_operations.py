# SPDX-License-Identifier: Apache-2.0
"""Operations run once per id, give up when asked to, and are always reported."""

import errno
import queue
import threading

import pytest

from common.context import RequestContext
from common.errors import DiskFull
from common.objects.operation import OperationReport
from services.compute.finished import FinishedInMemory, FinishedOnDisk
from services.compute.lanes import Lanes
from services.compute.operations import Operations, Request

CTX = RequestContext(request_id="req-1")
SOON_S = 10


@pytest.fixture
def reports():
    return queue.Queue()


@pytest.fixture(params=["memory", "disk"])
def make(request, tmp_path, reports):
    """Makes Operations as a daemon does when it starts; they share what survives."""
    lanes = []

    def make():
        lanes.append(Lanes(threads=4))
        finished = FinishedInMemory() if request.param == "memory" else FinishedOnDisk(tmp_path)
        return Operations(lanes[-1], finished, reports.put)

    yield make
    for each in lanes:
        each.close()


def request_for(op, instance="i1", **values):
    return Request(op, "node1", instance, "build", **values)


def endless(started):
    """Work that goes on until it is cancelled."""

    def work(checkpoint):
        started.set()
        while True:
            checkpoint()

    return work


def test_an_operation_reports_its_result(make, reports):
    make().start(CTX, request_for("op1"), lambda _: {"power_state": 1})

    report = reports.get(timeout=SOON_S)
    assert (report.operation_id, report.host, report.result, report.error) == (
        "op1", "node1", {"power_state": 1}, None,
    )  # fmt: skip


def test_an_id_that_ended_is_reported_again_and_not_run_again(make, reports):
    operations, runs = make(), []
    operations.start(CTX, request_for("op1"), lambda _: runs.append(1) or {"n": 1})
    first = reports.get(timeout=SOON_S)

    operations.start(CTX, request_for("op1"), lambda _: runs.append(1) or {"n": 2})

    assert reports.get(timeout=SOON_S) == first
    assert runs == [1]


def test_an_id_under_way_is_not_started_again(make, reports):
    operations, go, runs = make(), threading.Event(), []

    def work(_):
        runs.append(1)
        go.wait(SOON_S)
        return {}

    for _ in range(3):
        operations.start(CTX, request_for("op1"), work)
    go.set()
    reports.get(timeout=SOON_S)

    assert runs == [1]
    assert reports.empty()


def test_a_failure_is_reported_with_its_reason(make, reports):
    def work(_):
        raise DiskFull(what="image x", free_mib=1, need_mib=2)

    make().start(CTX, request_for("op1"), work)

    error = reports.get(timeout=SOON_S).error
    assert error.name == "DiskFull"
    assert "image x" in error.message


def test_an_unexpected_failure_is_a_hypervisor_error_that_says_what(make, reports):
    make().start(CTX, request_for("op1"), lambda _: {}["nothing"])

    error = reports.get(timeout=SOON_S).error
    assert error.name == "HypervisorError"
    assert "KeyError" in error.message


def test_destroy_makes_a_running_build_give_up(make, reports):
    operations, started = make(), threading.Event()
    operations.start(CTX, request_for("build"), endless(started))
    assert started.wait(SOON_S)

    operations.start(CTX, request_for("destroy", overrides=True), lambda _: {})

    first, second = reports.get(timeout=SOON_S), reports.get(timeout=SOON_S)
    assert (first.operation_id, first.error.name) == ("build", "OperationCancelled")
    assert (second.operation_id, second.error) == ("destroy", None)


def test_destroy_leaves_other_instances_alone(make, reports):
    operations, started, go = make(), threading.Event(), threading.Event()

    def work(checkpoint):
        started.set()
        go.wait(SOON_S)
        checkpoint()
        return {}

    operations.start(CTX, request_for("build", "i1"), work)
    assert started.wait(SOON_S)
    operations.start(CTX, request_for("destroy", "i2", overrides=True), lambda _: {})
    reports.get(timeout=SOON_S)
    go.set()

    assert reports.get(timeout=SOON_S).error is None


def test_a_cancelled_operation_reports_that_it_gave_up(make, reports):
    operations, started = make(), threading.Event()
    operations.start(CTX, request_for("op1"), endless(started))
    assert started.wait(SOON_S)

    operations.cancel("op1", "node1")

    assert reports.get(timeout=SOON_S).error.name == "OperationCancelled"


def test_an_operation_cancelled_before_it_came_never_runs(make, reports):
    operations, runs = make(), []

    operations.cancel("op1", "node1")
    operations.start(CTX, request_for("op1"), lambda _: runs.append(1) or {})

    assert reports.get(timeout=SOON_S).error.name == "OperationCancelled"
    assert reports.get(timeout=SOON_S).error.name == "OperationCancelled"
    assert runs == []


def test_what_a_stopping_daemon_gives_up_runs_again_after_the_restart(make, reports):
    operations, started = make(), threading.Event()
    operations.start(CTX, request_for("op1"), endless(started))
    assert started.wait(SOON_S)
    operations.cancel_everything("the daemon stops")

    make().start(CTX, request_for("op1"), lambda _: {"n": 1})

    assert reports.get(timeout=SOON_S).result == {"n": 1}
    assert reports.empty()


def test_reports_on_disk_survive_the_process(tmp_path, reports):
    lanes = Lanes(threads=1)
    Operations(lanes, FinishedOnDisk(tmp_path), reports.put).start(
        CTX, request_for("op/1"), lambda _: {"n": 1}
    )
    first = reports.get(timeout=SOON_S)
    runs = []

    later = Operations(lanes, FinishedOnDisk(tmp_path), reports.put)
    later.start(CTX, request_for("op/1"), lambda _: runs.append(1) or {})

    assert reports.get(timeout=SOON_S) == first
    assert runs == []
    lanes.close()


def test_a_report_half_written_by_a_killed_daemon_does_not_count(tmp_path):
    (tmp_path / "op1.new").write_text('{"operation_')
    (tmp_path / "op2.json").write_text('{"operation_')

    finished = FinishedOnDisk(tmp_path)

    assert finished.get("op1") is None
    assert finished.get("op2") is None
    assert not (tmp_path / "op1.new").exists()


def test_reports_on_disk_are_forgotten_after_an_hour(tmp_path, reports):
    now = [0.0]
    finished = FinishedOnDisk(tmp_path, now=lambda: now[0])
    report = make_report("op1")
    finished.add(report)
    now[0] = (tmp_path / "op1.json").stat().st_mtime + 3601

    finished.add(make_report("op2"))

    assert finished.get("op1") is None


def test_what_cannot_be_written_is_reported_and_not_run_again_all_the_same(
    tmp_path, reports, caplog
):
    folder, runs, lanes = tmp_path / "reports", [], Lanes(threads=1)
    operations = Operations(lanes, FinishedOnDisk(folder), reports.put)
    folder.rmdir()

    for _ in range(2):
        operations.start(CTX, request_for("op1"), lambda _: runs.append(1) or {"n": 1})
        assert reports.get(timeout=SOON_S).result == {"n": 1}

    assert runs == [1]
    assert "The report of operation op1 cannot be written" in caplog.text
    lanes.close()


def test_a_full_disk_is_called_so_wherever_it_shows(make, reports):
    def work(_):
        raise OSError(errno.ENOSPC, "No space left on device", "/state/a-record")

    make().start(CTX, request_for("op1"), work)

    error = reports.get(timeout=SOON_S).error
    assert error.name == "DiskFull"
    assert "No space left on the host for /state/a-record" in error.message


def make_report(operation_id):
    return OperationReport(operation_id=operation_id, host="node1")

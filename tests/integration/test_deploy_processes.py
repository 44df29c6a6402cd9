# SPDX-License-Identifier: Apache-2.0
"""Keepers: programs that are kept running where there is no systemd."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bringup.paths import Paths
from deploy.bringup.plain_processes import PlainProcesses
from deploy.bringup.program import Program
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[PlainProcesses]:
    made = PlainProcesses(Paths.below(str(tmp_path)))
    made.prepare()
    yield made
    for name in made.names():
        made.forget(name)


def _program(folder: Path, script: str = "sleep 1000", **more: object) -> Program:
    command = ("bash", "-c", script)
    return Program("p", command, str(folder / "log"), stop_grace_s=1, **more)


def _pid(runner: PlainProcesses, *, other_than: int = 0) -> int:
    wait_until(lambda: runner.state("p").pid not in (0, other_than), "the program runs")
    return runner.state("p").pid


def _is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_a_program_is_started_once(runner: PlainProcesses, tmp_path: Path) -> None:
    assert runner.start(_program(tmp_path))
    pid = _pid(runner)

    assert not runner.start(_program(tmp_path))
    assert runner.state("p").pid == pid


def test_a_program_that_was_killed_runs_again(runner: PlainProcesses, tmp_path: Path) -> None:
    runner.start(_program(tmp_path))
    first = _pid(runner)

    os.kill(first, signal.SIGKILL)

    assert _pid(runner, other_than=first) != first
    assert (runner.state("p").restarts, runner.state("p").last_exit) == (1, -signal.SIGKILL)


def test_a_program_with_a_new_description_is_started_anew(
    runner: PlainProcesses, tmp_path: Path
) -> None:
    runner.start(_program(tmp_path))
    first = _pid(runner)

    assert runner.start(_program(tmp_path, revision="2"))

    assert _pid(runner) != first
    assert _is_gone(first)


def test_a_program_that_does_not_stop_is_killed(runner: PlainProcesses, tmp_path: Path) -> None:
    runner.start(_program(tmp_path, "trap '' TERM; touch ready; while :; do sleep 0.1; done"))
    pid = _pid(runner)

    assert runner.stop("p")

    assert _is_gone(pid)
    assert not runner.state("p").is_kept


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_program_left_behind_is_ended_with_it_where_that_is_wanted(
    runner: PlainProcesses, tmp_path: Path, ends: bool
) -> None:
    file = tmp_path / "left"
    script = f"setsid sleep 1000 & echo $! > {file}.new; mv {file}.new {file}; wait"
    runner.start(_program(tmp_path, script, ends_descendants=ends))
    wait_until(file.exists, "the program has a child")
    left = int(file.read_text())

    runner.stop("p")

    assert _is_gone(left) is ends
    with contextlib.suppress(ProcessLookupError):
        os.kill(left, signal.SIGKILL)


def test_a_program_whose_keeper_was_killed_is_found_and_replaced(
    runner: PlainProcesses, tmp_path: Path
) -> None:
    runner.start(_program(tmp_path, "trap '' TERM; while :; do sleep 0.1; done"))
    orphan = _pid(runner)
    keeper = json.loads((tmp_path / "run" / "programs" / "p.state").read_text())["keeper"]

    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not runner.state("p").is_kept, "the keeper is gone")

    assert runner.has("p")
    assert runner.start(_program(tmp_path, "sleep 1000"))
    assert _pid(runner) != orphan
    wait_until(lambda: _is_gone(orphan), "the orphan is gone")


def test_the_output_of_a_program_is_in_its_log(runner: PlainProcesses, tmp_path: Path) -> None:
    program = Program("p", (sys.executable, "-c", "print('hello')"), str(tmp_path / "log"))
    runner.start(program)

    wait_until(lambda: "hello" in (tmp_path / "log").read_text(), "the program has spoken")

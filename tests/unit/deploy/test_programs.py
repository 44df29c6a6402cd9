# SPDX-License-Identifier: Apache-2.0
"""Fingerprints, /proc, and what preflight refuses."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.bringup import preflight, processes
from deploy.bringup.daemon_user import closed_folder
from deploy.bringup.failures import Failed, last_lines
from deploy.bringup.keeper import rotate
from deploy.bringup.program import Program, revision_of
from deploy.bringup.status import duration

_PROGRAM = Program("p", ("/bin/p",), "/log")


@pytest.mark.parametrize(
    "change", [{"command": ("/bin/q",)}, {"revision": "2"}, {"environment": {"A": "1"}}]
)
def test_whatever_a_program_reads_at_start_is_in_its_fingerprint(change: dict[str, object]) -> None:
    assert replace(_PROGRAM, **change).fingerprint() != _PROGRAM.fingerprint()


def test_a_changed_source_is_another_revision(tmp_path: Path) -> None:
    source = tmp_path / "package" / "module.py"
    source.parent.mkdir()
    source.write_text("1")
    before = revision_of(tmp_path)

    source.write_text("12")

    assert revision_of(tmp_path) != before


def test_the_process_that_listens_on_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert f"(pid {os.getpid()})" in str(processes.listener(port))

    assert processes.listener(port) is None


def test_a_port_of_somebody_else_is_refused_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(Failed, match=rf"{port}, for api, .*pid {os.getpid()}") as refused:
            preflight.need_ports([("api", port)], lambda _: False)

        assert "--port api=PORT" in str(refused.value)
        preflight.need_ports([("api", port)], lambda name: name == "api")


def test_a_full_file_system_is_refused_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="GiB left"):
        preflight.need_space(tmp_path / "not" / "yet", 1e9)


def test_a_path_that_is_too_long_for_containers_is_refused_before_anything_is_made() -> None:
    preflight.need_short_path(Path("/abc"), 4)

    with pytest.raises(Failed, match="shorter by 2"):
        preflight.need_short_path(Path("/abcde"), 4)


def test_a_process_is_found_with_its_descendants_age_and_memory() -> None:
    pid = os.getpid()

    assert pid in processes.with_descendants(os.getppid())
    assert processes.up_s(pid) > 0
    assert processes.memory_mib([pid]) > 1


def test_a_process_that_is_gone_has_nothing() -> None:
    assert processes.with_descendants(0) == []
    assert processes.up_s(2**22 + 1) == 0


def test_the_end_of_a_log_is_shown_even_when_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {n}\n" for n in range(50)))

    assert last_lines(tmp_path / "log", 2) == "    line 48\n    line 49"
    assert "nothing" in last_lines(tmp_path / "none")


def test_a_log_that_grew_too_long_is_moved_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as kept_open:
        for number in range(4):
            kept_open.write(b"%d" % number * 11)
            kept_open.flush()
            assert rotate(log, most_bytes=10, keep=2)
        kept_open.write(b"now")

    assert log.read_text() == "now"
    assert [file.read_text()[0] for file in (tmp_path / "log.1", tmp_path / "log.2")] == ["3", "2"]
    assert not (tmp_path / "log.3").exists()
    assert not rotate(log, most_bytes=10, keep=2)


def test_what_other_users_cannot_reach_is_named(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    tmp_path.joinpath("closed").chmod(0o700)

    assert closed_folder(inner) in (tmp_path / "closed", *tmp_path.parents, tmp_path)
    assert closed_folder(Path("/usr/bin")) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "-"), (6.9, "6s"), (306, "5m 6s"), (3600, "1h 0m"), (273600, "3d 4h")],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text

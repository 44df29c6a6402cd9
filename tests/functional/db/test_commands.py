# SPDX-License-Identifier: Apache-2.0
"""`kilonova db`: what it prints and with which exit code it ends."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from services.conductor.commands import db
from services.conductor.db import revisions

pytestmark = pytest.mark.functional


def run(tmp_path, url, *arguments):
    file = tmp_path / "kilonova.conf"
    file.write_text(f"[database]\nconnection = {url}\nconnect_timeout_s = 1\n")
    return CliRunner().invoke(db, [*arguments, "--config-file", str(file)])


@pytest.fixture
def empty(postgres):
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


def test_upgrade_makes_an_empty_database_current_and_can_be_repeated(empty, tmp_path):
    assert run(tmp_path, empty, "check").exit_code == 1
    assert "database: empty" in run(tmp_path, empty, "version").output

    first = run(tmp_path, empty, "upgrade")
    second = run(tmp_path, empty, "upgrade")

    assert first.exit_code == second.exit_code == 0
    assert revisions.head() in first.output
    assert "nothing to do" in second.output
    assert run(tmp_path, empty, "check").exit_code == 0


def test_upgrades_at_once_wait_for_each_other(empty, tmp_path):
    file = tmp_path / "kilonova.conf"
    file.write_text(f"[database]\nconnection = {empty}\n")
    program = "from services.conductor.commands import db; db()"
    command = [sys.executable, "-c", program, "upgrade", "--config-file", str(file)]

    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum("Upgraded" in text for text in said) >= 1
    assert run(tmp_path, empty, "check").exit_code == 0


def test_check_names_what_differs(empty, tmp_path, postgres):
    run(tmp_path, empty, "upgrade")
    postgres.execute("DROP INDEX ix_instances_by_host", make_url(empty).database)

    result = run(tmp_path, empty, "check")

    assert result.exit_code == 1
    assert "ix_instances_by_host" in result.output


def test_a_database_that_does_not_answer_is_said_so(tmp_path):
    result = run(tmp_path, "postgresql+psycopg2://nobody@/none?host=/nonexistent", "version")

    assert result.exit_code == 1
    assert "The database is not available" in result.output
    assert "/nonexistent" in result.output

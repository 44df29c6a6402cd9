# SPDX-License-Identifier: Apache-2.0
"""A look at the machine finds what the run made, and nothing of others."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import leftovers, ours


@pytest.fixture
def words(monkeypatch):
    """A run of its own."""
    monkeypatch.setenv(ours.VARIABLE, "")  # so that it is set back afterwards
    made = ours.begin()
    yield made
    made.unlink()


@contextlib.contextmanager
def process(*command, **options):
    running = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, **options
    )
    try:
        # `cat` has begun when it gives back what it gets.
        running.stdin.write(b".")
        running.stdin.flush()
        assert running.stdout.read(1) == b"."
        yield running
    finally:
        running.communicate()


def test_a_run_that_made_nothing_left_nothing(words):
    assert leftovers.find(words) == []


def test_what_a_run_started_is_found_though_nothing_refers_to_it(words):
    with process("cat") as running:
        assert leftovers.find(words, within_s=0) == [f"process {running.pid}: cat"]

    assert leftovers.find(words) == []


def test_a_process_without_its_environment_is_found_by_what_it_works_on(words):
    made = ours.folder("leftover")
    environment = {name: value for name, value in os.environ.items() if name != ours.VARIABLE}
    try:
        with process("cat", "-", made / "nothing", env=environment, stderr=subprocess.DEVNULL):
            folder, running = leftovers.find(words, within_s=0)
            assert folder == f"folder {made}"
            assert str(made) in running
    finally:
        shutil.rmtree(made)

    assert leftovers.find(words) == []


def test_what_others_make_meanwhile_is_not_looked_at(words):
    others = Path(tempfile.mkdtemp(prefix="kn-leftover-", dir="/tmp"))
    environment = {**os.environ, ours.VARIABLE: "/tmp/kn-words-of-others"}
    try:
        with process("cat", env=environment):
            assert leftovers.find(words) == []
    finally:
        others.rmdir()

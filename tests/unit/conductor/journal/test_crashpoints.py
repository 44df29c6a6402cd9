# SPDX-License-Identifier: Apache-2.0
"""Crash points end the process once each, and cost nothing when there are none."""

import os

from services.conductor.journal.crashpoints import CrashPoints


def reaches(points, record):
    """The exit code of a child that reaches boot:claim:before_commit, 0 when it lives on."""
    child = os.fork()
    if child == 0:
        CrashPoints(points, record).reach("boot", ["choose_host", "claim"], "before_commit")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_listed_point_kills_once(tmp_path):
    record = tmp_path / "hit"
    points = ["boot:claim:before_commit", "boot:claim:after_commit"]

    assert reaches(points, record) == 137
    assert reaches(points, record) == 0
    assert record.read_text().split() == ["boot:claim:before_commit"]


def test_other_points_are_passed(tmp_path):
    assert reaches(["boot:build:before_commit", ""], tmp_path / "hit") == 0

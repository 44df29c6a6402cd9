# SPDX-License-Identifier: Apache-2.0
"""The conductor dies at every point of every step; the record of its deaths proves each hit."""

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.chaos]

_CALL, _COMMIT = ("begin", "called"), ("before_commit", "after_commit")
_ON_HOST = ("before_commit", "after_commit", "after_cast", "reported")


def points(flow, **steps):
    return [f"{flow}:{step}:{moment}" for step, moments in steps.items() for moment in moments]


BOOT = points(
    "boot", choose_host=_CALL, claim=_COMMIT, make_ports=_CALL, record_devices=_COMMIT,
    build=_ON_HOST, activate=_COMMIT,
)  # fmt: skip
DELETE = points("delete", destroy=_ON_HOST, delete_ports=_CALL, forget=_COMMIT)
UNDO = points(
    "boot.undo", build=_ON_HOST, record_devices=_COMMIT, make_ports=_CALL, claim=_COMMIT
)  # fmt: skip
# A conductor that died right after a commit does not come to the cast of that commit: it takes a
# second server to die there.
MOST_SERVERS = 4


def test_a_boot_survives_its_conductor_dying_at_every_point(user):
    user.crash_at(BOOT)

    for _ in range(MOST_SERVERS):
        server = user.boot()
        assert user.outcome(server, timeout_s=120) == "active", user.row(server)
        if user.has_crashed_at(BOOT):
            break

    assert user.has_crashed_at(BOOT), set(BOOT) - set(user.crashed_at())
    user.assert_nothing_left()


def test_a_deletion_survives_its_conductor_dying_at_every_point(user):
    servers = [user.boot() for _ in range(MOST_SERVERS)]
    assert {user.outcome(server) for server in servers} == {"active"}
    user.crash_at(DELETE)

    for server in servers:
        user.delete(server)
        assert user.outcome(server, timeout_s=120) == "deleted", user.row(server)
        if user.has_crashed_at(DELETE):
            break

    assert user.has_crashed_at(DELETE), set(DELETE) - set(user.crashed_at())
    user.assert_nothing_left()


def test_a_failed_boot_is_undone_though_its_conductor_dies_at_every_point(user):
    user.cloud.faults(faults=["build:1:ImageUnacceptable"])
    user.crash_at(UNDO)

    for _ in range(MOST_SERVERS):
        server = user.boot()
        assert user.outcome(server, timeout_s=120) == "error", user.row(server)
        assert "build fails here" in user.row(server).fault["message"]
        if user.has_crashed_at(UNDO):
            break

    assert user.has_crashed_at(UNDO), set(UNDO) - set(user.crashed_at())
    user.assert_nothing_left()

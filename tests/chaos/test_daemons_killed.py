# SPDX-License-Identifier: Apache-2.0
"""Scheduler, compute and conductor are killed while servers are being booted and deleted."""

import pytest

from tests.functional.rabbitmq import wait_until

pytestmark = [pytest.mark.functional, pytest.mark.chaos]


def test_a_boot_waits_for_a_scheduler_that_was_killed(user):
    user.cloud.kill("scheduler")
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:choose_host", "it waits for a host")

    assert user.outcome(server) == "active"
    user.assert_nothing_left()


def test_a_build_under_way_goes_on_when_its_compute_comes_back(user):
    user.cloud.faults(delays_ms={"build": 1500})
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:build", "it is being built")

    user.cloud.kill("compute")

    assert user.outcome(server) == "active"
    user.assert_nothing_left()


def test_a_boot_on_a_host_that_stays_dead_ends_in_error_and_leaks_nothing(user):
    user.cloud.faults(delays_ms={"build": 60000})
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:build", "it is being built")
    user.cloud.kill("compute")

    wait_until(lambda: user.rests(server), "it rests", timeout_s=60)

    row = user.row(server)
    assert (row.vm_state, row.host) == ("error", None)
    assert "is down" in row.fault["message"]
    user.calm()
    user.assert_nothing_left(timeout_s=40)


def test_a_server_on_a_dead_host_can_be_deleted_and_its_guest_goes_later(user):
    server = user.boot()
    assert user.outcome(server) == "active"
    user.cloud.kill("compute")

    user.delete(server)
    wait_until(lambda: user.rests(server), "it rests", timeout_s=60)

    assert user.row(server).vm_state == "deleted"
    assert server in user.guests()
    user.calm()
    user.assert_nothing_left(timeout_s=40)


@pytest.mark.parametrize("victim", ["conductor", "compute", "scheduler"])
def test_a_deletion_during_a_build_leaves_nothing_whoever_is_killed(user, victim):
    user.cloud.faults(delays_ms={"build": 5000})
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:build", "it is being built")

    user.delete(server)
    user.cloud.kill(victim)

    assert user.outcome(server) == "deleted"
    user.assert_nothing_left(timeout_s=40)


def test_a_conductor_that_is_stopped_leaves_its_work_to_the_next_one(user):
    user.cloud.faults(delays_ms={"build": 1000})
    servers = [user.boot() for _ in range(5)]

    assert user.cloud.stop("conductor") == 0

    assert {user.outcome(server) for server in servers} == {"active"}
    user.assert_nothing_left()


def test_a_deletion_does_not_wait_for_a_build_under_way(user):
    user.cloud.faults(delays_ms={"build": 25000})
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:build", "it is being built")

    user.delete(server)

    assert user.outcome(server, timeout_s=10) == "deleted"
    user.assert_nothing_left()


def test_a_deletion_at_the_first_step_ends_the_boot(user):
    user.cloud.kill("scheduler")
    server = user.boot()
    wait_until(lambda: user.step(server) == "boot:choose_host", "it waits for a host")

    user.delete(server)

    assert user.outcome(server) == "deleted"
    user.assert_nothing_left()


def test_a_build_that_fails_on_a_host_is_tried_on_another(user):
    user.cloud.faults(faults=["build:1:HypervisorError"])
    server = user.boot()

    assert user.outcome(server) == "error"
    message = user.row(server).fault["message"]
    assert {"fake1", "fake2", "fake3"} == {word.rstrip(":;") for word in message.split()
                                           if word.startswith("fake")}  # fmt: skip
    user.assert_nothing_left()


def test_a_bad_image_is_not_tried_on_another_host(user):
    user.cloud.faults(faults=["build:1:ImageUnacceptable"])
    server = user.boot()

    assert user.outcome(server) == "error"
    with user.database.begin() as conn:
        rewinds = conn.exec_driver_sql(
            "SELECT rewinds FROM tasks WHERE instance_uuid = %s", (server,)
        ).scalar_one()
    assert rewinds == 0
    user.assert_nothing_left()

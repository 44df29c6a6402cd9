# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL and RabbitMQ are killed while servers are being booted."""

import pytest

from tests.functional.rabbitmq import wait_until

pytestmark = [pytest.mark.functional, pytest.mark.chaos]


def test_boots_under_way_go_on_when_a_killed_database_is_back(user, postgres):
    user.cloud.faults(delays_ms={"build": 1500})
    servers = [user.boot() for _ in range(3)]
    wait_until(lambda: user.step(servers[-1]) == "boot:build", "they are being built")

    with postgres.away(killed=True):
        wait_until(lambda: not user.cloud.healthy("conductor"), "the conductor says so")
    wait_until(lambda: user.cloud.healthy("conductor"), "the conductor is back")
    user.database.close()  # our own connections are dead as well

    assert {user.outcome(server) for server in servers} == {"active"}
    user.assert_nothing_left()


def test_boots_under_way_go_on_when_a_killed_broker_is_back(user, rabbitmq):
    user.cloud.faults(delays_ms={"build": 1500})
    servers = [user.boot() for _ in range(3)]
    wait_until(lambda: user.step(servers[-1]) == "boot:build", "they are being built")

    with rabbitmq.away():
        pass

    assert {user.outcome(server, timeout_s=90) for server in servers} == {"active"}
    user.assert_nothing_left(timeout_s=40)

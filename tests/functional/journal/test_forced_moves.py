# SPDX-License-Identifier: Apache-2.0
"""Moves to a host that somebody insists on, and live migrations that are checked first."""

import pytest
from sqlalchemy import text

from common.errors import HostUnsuited, InstanceInvalidState, Invalid
from services.conductor.db import actions, migrations
from tests.functional.db.rows import add_hosts, make_report
from tests.functional.journal.world import ADMIN
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional


@pytest.fixture
def running(world):
    """An instance that runs on host1; from here on the scheduler finds no host."""
    instance = world.boot()
    world.scheduler.reason = "2 hosts; 2 not today"
    return instance


def live(world, instance, host="host2", **how):
    world.moves.live_migrate(ADMIN, instance, host=host, block_migration=None, **how)


def moves_alive(world):
    """Both hosts do their part; what was sent to the old one for the move itself."""
    for preparation in ("offer_live", "prepare_live"):
        world.report(preparation)
    sent = world.report("migrate_live")
    world.report("welcome")
    return sent


def evacuate(world, instance, host="host2", **how):
    world.moves.evacuate(ADMIN, instance, host=host, admin_password=None, stopped=False, **how)


def change(world, statement):
    with world.database.begin() as conn:
        conn.execute(text(statement))


def at_rest(world, instance):
    """How the instance is and what its last action says, once nothing is under way."""
    wait_until(lambda: world.get(instance).task_state is None, "it rests")
    with world.database.begin() as conn:
        found = actions.list_actions(conn, instance)[0]
    return world.get(instance).host, found.message


def test_a_forced_live_migration_goes_past_the_scheduler(world, running):
    live(world, running, forced=True)
    sent = moves_alive(world)

    assert '"to_host":"host2"' in sent.payload
    assert at_rest(world, running) == ("host2", None)


def test_a_live_migration_that_is_not_forced_asks_the_scheduler(world, running):
    live(world, running)

    host, message = at_rest(world, running)
    assert host == "host1"
    assert "2 not today" in message


def test_a_forced_evacuation_goes_past_the_scheduler(world, running):
    change(world, "UPDATE services SET forced_down = true WHERE host = 'host1'")

    evacuate(world, running, forced=True)
    world.report("build")

    assert at_rest(world, running) == ("host2", None)


@pytest.mark.parametrize(
    ("change_of_host2", "reason"),
    [
        ("UPDATE services SET forced_down = true WHERE host = 'host2'", "is unavailable"),
        ("UPDATE compute_nodes SET report = jsonb_set(report, '{hypervisor_version}', '1')"
         " WHERE host = 'host2'", "older than the guest's"),
        ("UPDATE compute_nodes SET report = jsonb_set(report, '{hypervisor_type}', '\"x\"')"
         " WHERE host = 'host2'", "its hypervisor is x"),
        ("UPDATE compute_nodes SET memory_capacity_mib = 1 WHERE host = 'host2'", "room"),
    ],
)  # fmt: skip
def test_what_a_forced_host_cannot_do_is_said_in_the_action_or_at_once(
    world, running, change_of_host2, reason
):
    change(world, change_of_host2)

    with pytest.raises(HostUnsuited, match=reason):
        live(world, running, forced=True, check_first=True)
    assert world.get(running).task_state is None
    live(world, running, forced=True)

    host, message = at_rest(world, running)
    assert host == "host1"
    assert reason in message
    with world.database.begin() as conn:
        assert migrations.latest(conn, running, ("error",)) is not None


def test_a_disabled_host_takes_what_is_forced_on_it(world, running):
    change(world, "UPDATE services SET disabled = true WHERE host = 'host2'")

    live(world, running, forced=True, check_first=True)
    moves_alive(world)

    assert at_rest(world, running) == ("host2", None)


def test_a_host_that_fails_is_not_replaced_when_it_was_forced(world, running):
    change(world, "UPDATE services SET forced_down = true WHERE host = 'host1'")
    world.scheduler.reason, world.scheduler.turn = "", 1
    evacuate(world, running, forced=True)

    world.report("build", error=Invalid("not today"))
    world.report("destroy")

    host, message = at_rest(world, running)
    assert (host, "not today" in message) == ("host1", True)


def test_a_check_first_refuses_what_no_host_takes_and_leaves_no_trace(world, running):
    with pytest.raises(Invalid, match="2 not today"):
        live(world, running, host=None, check_first=True)

    assert world.get(running).task_state is None
    assert world.scalars("SELECT count(*) FROM migrations") == [0]


def test_the_host_of_a_check_first_is_the_one_that_is_used(world, running):
    world.scheduler.reason, world.scheduler.turn = "", 1
    third = make_report("host3")
    add_hosts(world.database, third)

    live(world, running, host=None, check_first=True)
    world.scheduler.reports[1] = third
    moves_alive(world)

    assert at_rest(world, running) == ("host2", None)


def test_the_scheduler_learns_on_which_hypervisor_the_guest_runs(world, running):
    live(world, running)
    at_rest(world, running)

    spec = world.scheduler.asked[-1]
    assert (spec.hypervisor_type, spec.hypervisor_version) == ("fake", 1000000)
    assert spec.excluded_hosts == ("host1",)


def test_a_guest_that_is_off_behind_our_back_cannot_move_alive(world, running):
    change(world, "UPDATE instances SET power_state = 4")

    with pytest.raises(InstanceInvalidState, match="power_state shutdown"):
        live(world, running)

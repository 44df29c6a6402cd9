# SPDX-License-Identifier: Apache-2.0
"""A new guest is held until its ports are plugged: told early, late, never, or that it failed."""

import msgspec
import pytest

from common.objects.external_event import ExternalEvent
from common.objects.network import RequestedNetwork
from services.conductor.accept.plugs import AcceptPlugs
from services.conductor.tasks.ground import Limits
from tests.functional.journal.unlucky import Unlucky
from tests.functional.journal.world import MEMBER, World, request
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

ONE, TWO = "port-one", "port-two"
NEVER = 1_000_000
RUNS, PAUSED = 1, 3


@pytest.fixture
def make_world(database):
    """Makes the one conductor; its ports never become ACTIVE by themselves."""
    running = []

    def make(kind=World, **limits):
        world = kind(database, limits=Limits(**limits))
        world.ports.slow = {ONE: NEVER, TWO: NEVER}
        running.append(world)
        return world

    yield make
    for world in running:
        world.runner.stop()


def boot(world, *ports):
    wanted = tuple(RequestedNetwork(port_id=port) for port in ports)
    return world.create(MEMBER, request(networks=wanted)).uuids[0]


def tell(world, uuid, port, status="completed"):
    event = ExternalEvent(name="network-vif-plugged", server_uuid=uuid, tag=port, status=status)
    AcceptPlugs(world.engine.signal).port_plugged(event)


def pauses(world):
    return world.scalars(
        "SELECT step FROM tasks WHERE state = 'runnable' AND lease_owner IS NULL"
    ) == ["await_plugged"]


def wait_until_it_pauses(world):
    wait_until(lambda: pauses(world), "the task waits for the ports")


def assert_runs(world, uuid):
    wait_until(lambda: world.get(uuid).vm_state == "active", "the server is active")
    assert (world.get(uuid).power_state, world.get(uuid).fault) == (RUNS, None)


def test_a_guest_is_held_until_every_port_is_plugged(make_world):
    world = make_world()
    uuid = boot(world, ONE, TWO)

    built = world.report("build", power_state=PAUSED)
    wait_until_it_pauses(world)
    tell(world, uuid, ONE)
    wait_until_it_pauses(world)

    assert msgspec.json.decode(built.payload)["paused"]
    assert not world.hosts.sent
    assert world.get(uuid).task_state == "spawning"
    tell(world, uuid, TWO)
    world.report("unpause")
    assert_runs(world, uuid)


def test_what_is_told_before_anybody_waits_is_not_lost(make_world):
    world = make_world()
    looked = []
    world.ports.when_looked_at = lambda: looked.append(True)
    uuid = boot(world, ONE)
    wait_until(lambda: bool(world.hosts.sent), "build was sent")

    tell(world, uuid, ONE)
    world.report("build", power_state=PAUSED)

    world.report("unpause")
    assert_runs(world, uuid)
    assert not looked


def test_what_is_told_during_a_look_is_not_lost(make_world):
    world = make_world()
    uuid = boot(world, ONE)
    world.ports.when_looked_at = lambda: tell(world, uuid, ONE)

    world.report("build", power_state=PAUSED)

    world.report("unpause")
    assert_runs(world, uuid)


def test_what_is_told_while_no_conductor_lives_is_not_lost(make_world):
    world = make_world(Unlucky)
    uuid = boot(world, ONE)
    world.inline.run_all()
    world.engine.reported(world.host.perform(world.hosts.sent.pop()))
    world.inline.todo.clear()  # it dies

    tell(world, uuid, ONE)

    world.run(uuid)
    assert_runs(world, uuid)


def test_a_port_that_cannot_be_plugged_fails_the_boot_at_once(make_world):
    world = make_world()
    uuid = boot(world, ONE)
    world.report("build", power_state=PAUSED)
    wait_until_it_pauses(world)

    tell(world, uuid, ONE, "failed")

    world.report("destroy")
    wait_until(lambda: world.get(uuid).vm_state == "error", "the server is in error")
    found = world.get(uuid)
    assert found.fault.message == (
        "Virtual Interface creation failed: the network service could not plug port port-one"
    )
    assert (found.host, found.vifs, found.task_state) == (None, (), None)
    assert world.scalars("SELECT count(*) FROM allocations") == [0]
    assert not world.ports.plugged


def test_it_is_no_harm_where_the_operator_says_so(make_world):
    world = make_world(plugging_is_fatal=False)
    uuid = boot(world, ONE)
    world.report("build", power_state=PAUSED)
    wait_until_it_pauses(world)

    tell(world, uuid, ONE, "failed")

    world.report("unpause")
    assert_runs(world, uuid)


def test_a_port_that_is_never_plugged_fails_the_boot_in_time(make_world):
    world = make_world(Unlucky, plugging_timeout_s=0.1)
    uuid = boot(world, ONE)

    world.run(uuid)

    found = world.get(uuid)
    assert (found.vm_state, found.host) == ("error", None)
    assert found.fault.message == (
        "Virtual Interface creation failed: the network service has not plugged port port-one "
        "in 0.1 s"
    )
    assert world.asked == ["build", "destroy"]
    assert not world.ports.plugged
    assert not world.host.guests[uuid]


def test_a_guest_goes_on_in_time_where_that_is_no_harm(make_world, caplog):
    world = make_world(Unlucky, plugging_timeout_s=0.1, plugging_is_fatal=False)
    uuid = boot(world, ONE)

    world.run(uuid)

    assert_runs(world, uuid)
    assert world.asked == ["build", "unpause"]
    assert "has not plugged port port-one in 0.1 s" in caplog.text


@pytest.mark.parametrize(("timeout_s", "slow"), [(0, {ONE: NEVER}), (300, {})])
def test_nothing_is_held_without_a_reason(make_world, timeout_s, slow):
    world = make_world(Unlucky, plugging_timeout_s=timeout_s)
    world.ports.slow = slow
    uuid = boot(world, ONE)

    world.run(uuid)

    assert_runs(world, uuid)
    assert world.asked == ["build"]


def test_a_server_is_deleted_while_its_guest_is_held(make_world):
    world = make_world(Unlucky)
    uuid = boot(world, ONE)
    world.inline.run_all()
    world.engine.reported(world.host.perform(world.hosts.sent.pop()))
    world.inline.run_all()
    assert pauses(world)

    world.delete(MEMBER, uuid)
    world.run(uuid)

    assert world.get(uuid).deleted
    assert not world.host.guests[uuid]
    assert not world.ports.plugged

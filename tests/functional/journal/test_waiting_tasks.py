# SPDX-License-Identifier: Apache-2.0
"""A task works with what the instance has at its turn, not with what it had when the task was
accepted; what is asked meanwhile is not lost; a deletion waits for what is still being made.
"""

import functools
import threading

import msgspec
import pytest

from common.errors import VolumeNotAttached
from common.objects.network import RequestedNetwork
from common.objects.volume import RequestedVolume
from services.conductor.db import instances
from tests.functional.journal.test_every_flow import (
    DATA,
    MORE,
    assert_rests,
    attach_volume,
    boot,
    delete,
    detach_volume,
    resize,
)
from tests.functional.journal.unlucky import Unlucky
from tests.functional.journal.world import ADMIN, MEMBER
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

NEW = "new"


@pytest.fixture
def world(database):
    return Unlucky(database)


@pytest.fixture
def uuid(world):
    """An instance that runs on host1."""
    made = world.new_uuid()
    boot(world, made)
    world.run(made)
    return made


def disk_of(world, uuid, volume):
    return next(disk for disk in world.get(uuid).block_devices if disk.volume_id == volume)


def watch(world):
    """Arguments of the operations that hosts are asked for from now on, by method."""
    asked, perform = {}, world.host.perform

    def note(operation, **more):
        asked[operation.method] = msgspec.json.decode(operation.payload)
        return perform(operation, **more)

    world.host.perform = note
    return asked


def test_a_volume_detached_while_it_is_being_attached_is_one_that_the_host_reaches(world, uuid):
    asked = watch(world)
    attach_volume(world, uuid)
    detach_volume(world, uuid)

    world.run(uuid)

    assert asked["detach_volume"]["disk"]["connection"]["data"]["host"] == "host1"
    assert MORE not in {disk.volume_id for disk in world.get(uuid).block_devices}
    assert_rests(world, uuid, {"active"})


def test_a_second_detachment_finds_that_the_volume_is_gone(world, uuid):
    attach_volume(world, uuid)
    world.run(uuid)
    detach_volume(world, uuid)
    detach_volume(world, uuid)

    world.run(uuid)

    assert not world.volumes.detaching
    assert_rests(world, uuid, {"active"})
    with pytest.raises(VolumeNotAttached):
        detach_volume(world, uuid)


def test_a_volume_swapped_while_it_is_being_attached_is_let_go(world, uuid):
    attach_volume(world, uuid)
    world.volumes.add(NEW)
    world.ask(world.disks.swap, uuid, MORE, RequestedVolume(volume_id=NEW))

    world.run(uuid)

    assert disk_of(world, uuid, NEW).attachment_id
    assert MORE not in {volume for volume, _ in world.volumes.held_by(uuid).values()}


def test_what_is_said_of_a_volume_while_it_is_being_attached_stays_so(world, uuid):
    attach_volume(world, uuid)
    world.disks.update(MEMBER, uuid, MORE, delete_on_termination=True)

    world.run(uuid)

    assert disk_of(world, uuid, MORE).delete_on_termination


def test_what_is_changed_while_a_task_writes_is_not_overwritten(world, uuid):
    attach_volume(world, uuid)
    thread = threading.Thread(target=world.run, args=[uuid])

    with world.database.begin() as conn:
        disks = [msgspec.structs.replace(disk, tag="new") for disk in world.get(uuid).block_devices]
        instances.change(conn, uuid, block_devices=tuple(disks))
        thread.start()
        wait_until(lambda: waits_for_a_row(world), "the task waits for us")
    thread.join(20)

    assert disk_of(world, uuid, MORE).tag == "new"
    assert_rests(world, uuid, {"active"})


def waits_for_a_row(world):
    return world.scalars("SELECT count(*) FROM pg_locks WHERE NOT granted") != [0]


def test_a_port_attached_just_before_a_move_moves_along(world, uuid):
    world.ask(world.interfaces.attach, uuid, RequestedNetwork(network_id="net"))
    resize(world, uuid)

    world.run(uuid)

    [vif] = world.get(uuid).vifs
    assert world.ports.bound[vif.port_id] == "host2"
    world.ask(functools.partial(world.moves.revert), uuid)
    world.run(uuid)
    assert [found.port_id for found in world.get(uuid).vifs] == [vif.port_id]
    assert world.ports.bound[vif.port_id] == "host1"


def test_a_port_that_waits_for_a_move_to_end_is_bound_where_the_server_has_gone(world, uuid):
    perform = world.host.perform

    def ask_meanwhile(operation, **more):
        if operation.method == "take_back":
            world.state.reset_state(ADMIN, uuid, "active")  # so that more may be asked for
            assert world.get(uuid).host == "host2"
            world.ask(world.interfaces.attach, uuid, RequestedNetwork(network_id="net"))
        return perform(operation, **more)

    resize(world, uuid)
    world.run(uuid)
    world.host.perform = ask_meanwhile
    world.ask(world.moves.revert, uuid)

    world.run(uuid)

    found = world.get(uuid)
    assert found.host == "host1"
    assert [world.ports.bound[vif.port_id] for vif in found.vifs] == ["host1"]
    assert_rests(world, uuid, {"active"})


def test_a_volume_that_is_still_being_made_ends_with_its_instance(world):
    uuid = world.new_uuid()
    boot(world, uuid)
    world.volumes.busy[DATA] = ["creating"] * 5
    delete(world, uuid)

    world.run(uuid)

    assert DATA not in world.volumes.known
    assert_rests(world, uuid, {"deleted"})

# SPDX-License-Identifier: Apache-2.0
"""Guests of real libvirtds move with their volumes, which each host reaches in its own way."""

import msgspec
import pytest

from common.errors import VolumeUnreachable
from common.states import PowerState
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.volumes import VolumeFolder
from tests.integration.compute import counting_guest
from tests.integration.compute.counting_guest import beats, boots
from tests.integration.compute.sites import *  # noqa: F403

pytestmark = pytest.mark.integration


@pytest.fixture
def volumes(tmp_path):
    return VolumeFolder(tmp_path)


@pytest.fixture
def instance(source, dest, volumes):
    """An instance that boots from a volume, runs at the source, and has another volume."""
    root = volumes.make(
        content=counting_guest.image(), boot_index=0, device_name="/dev/vda", size_gib=1
    )
    disks = (root, volumes.make(device_name="/dev/vdb"))
    instance = make_instance(host=source.name, image=None, block_devices=disks)
    source.driver.build(instance)
    wait_until(lambda: beats(source.console(instance)))
    yield instance
    for site in (source, dest):
        site.driver.destroy(msgspec.structs.replace(instance, host=site.name))
        assert connected(site, instance) == set()


def connected(site, instance):
    """Ids of the volumes that a host has connected for the instance."""
    records = site.host.folder / "guests" / "volumes"
    return {path.name.split(".")[0] for path in records.glob(f"*.{instance.uuid}.json")}


def as_seen_there(instance, tmp_path):
    """The instance with its volumes as the other host reaches them: at other paths."""
    disks = []
    for disk in instance.block_devices:
        path = tmp_path / f"there-{disk.volume_id}"
        path.symlink_to(disk.connection["data"]["device_path"])
        connection = {"driver_volume_type": "local", "data": {"device_path": str(path)}}
        disks.append(msgspec.structs.replace(disk, connection=connection))
    return msgspec.structs.replace(instance, block_devices=tuple(disks))


def test_volumes_go_with_a_guest_that_is_switched_off(source, dest, instance, tmp_path):
    every = {disk.volume_id for disk in instance.block_devices}
    assert connected(source, instance) == every

    source.driver.set_aside(instance, grace_s=0)
    assert connected(source, instance) == set()
    there = as_seen_there(instance, tmp_path)
    dest.driver.receive(there, from_host=source.name, start=True)

    assert connected(dest, instance) == every
    wait_until(lambda: boots(dest.console(instance)))
    assert boots(dest.console(instance))[0][0] == 2  # it counts on its volume


def test_volumes_come_back_with_a_guest_that_does_not_move_after_all(source, dest, instance):
    every = {disk.volume_id for disk in instance.block_devices}
    source.driver.set_aside(instance, grace_s=0)
    dest.driver.receive(instance, from_host=source.name, start=True)

    dest.driver.destroy(msgspec.structs.replace(instance, host=dest.name))
    state = source.driver.take_back(instance, start=True)

    assert state is PowerState.RUNNING
    assert connected(source, instance) == every
    assert connected(dest, instance) == set()


def test_a_running_guest_moves_and_its_volumes_are_not_copied(source, dest, instance, tmp_path):
    there = as_seen_there(instance, tmp_path)
    source.driver.offer_live(instance)
    target = dest.driver.prepare_live(there, from_host=source.name, block_migration=None)
    before = max(beats(source.console(instance)))

    source.driver.migrate_live(instance, to_host=dest.name, target=target)
    assert dest.driver.welcome(instance) is PowerState.RUNNING

    assert connected(source, instance) == set()
    assert connected(dest, instance) == {disk.volume_id for disk in instance.block_devices}
    wait_until(lambda: max(beats(dest.console(instance)), default=0) > before, within_s=20)
    assert boots(dest.console(instance)) == []
    shown = dest.virsh("domblklist", f"kilonova-{instance.uuid}")
    for disk in there.block_devices:
        assert disk.connection["data"]["device_path"] in shown


def test_a_host_that_cannot_reach_a_volume_takes_no_guest(source, dest, instance):
    gone = {"driver_volume_type": "local", "data": {"device_path": "/nowhere/at/all"}}
    root, data = instance.block_devices
    there = msgspec.structs.replace(
        instance, block_devices=(root, msgspec.structs.replace(data, connection=gone))
    )
    source.driver.offer_live(instance)

    with pytest.raises(VolumeUnreachable, match="there is nothing at /nowhere"):
        dest.driver.prepare_live(there, from_host=source.name, block_migration=None)
    dest.driver.discard_live(instance)
    source.driver.withdraw_live(instance)

    assert connected(dest, instance) == set()
    assert dest.left(instance) == []
    assert source.driver.power_state(instance.uuid) is PowerState.RUNNING

# SPDX-License-Identifier: Apache-2.0
"""Hosts that share the folder of all instances: each touches only what is its own."""

import msgspec
import pytest

from common.errors import HypervisorError
from common.states import PowerState
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.moves import MoveContract
from tests.integration.compute.counting_guest import beats, boots
from tests.integration.compute.sites import *  # noqa: F403

pytestmark = pytest.mark.integration


@pytest.fixture
def sites(make_sites, tmp_path):
    return make_sites(shared=tmp_path)


class TestMoves(MoveContract):
    """What every driver does."""


@pytest.fixture
def instance(source, dest):
    """A guest that has beaten at the source; gone after the test."""
    instance = make_instance(host=source.name)
    source.driver.build(instance)
    wait_until(lambda: beats(source.console(instance)))
    yield instance
    for site in (source, dest):
        site.driver.destroy(msgspec.structs.replace(instance, host=site.name))


def at(instance, site):
    return msgspec.structs.replace(instance, host=site.name)


def die(site, instance):
    """The host fails, with its guest."""
    site.virsh("destroy", f"kilonova-{instance.uuid}")


def test_an_evacuated_guest_finds_its_disk(source, dest, instance):
    die(source, instance)

    assert dest.driver.build(instance) is PowerState.RUNNING
    wait_until(lambda: len(boots(dest.console(instance))) == 2)
    source.driver.destroy(at(instance, dest))  # what the old host owes when it is back

    assert dest.driver.power_state(instance.uuid) is PowerState.RUNNING
    assert instance.uuid not in source.guests()
    assert (dest.instances / instance.uuid / "disk").exists()
    dest.driver.destroy(at(instance, dest))
    assert dest.left(instance) == []


def test_disks_go_back_to_the_old_host_when_an_evacuation_comes_to_nothing(source, dest, instance):
    die(source, instance)
    dest.driver.build(instance)
    wait_until(lambda: len(boots(dest.console(instance))) == 2)

    dest.driver.destroy(instance)

    assert source.driver.power_on(instance) is PowerState.RUNNING
    wait_until(lambda: boots(source.console(instance))[-1][0] == 3)


def test_a_disk_that_a_guest_still_uses_is_not_taken_over(source, dest, instance):
    with pytest.raises(HypervisorError, match="lock"):
        dest.driver.build(instance)

    dest.driver.destroy(instance)
    assert source.driver.power_state(instance.uuid) is PowerState.RUNNING
    source.driver.reboot(instance, hard=True)


def test_disks_of_a_third_host_are_left_alone(source, dest, instance):
    die(source, instance)

    with pytest.raises(HypervisorError, match=f"are those of host {source.name}"):
        dest.driver.build(msgspec.structs.replace(instance, host="a-third"))


def test_what_waits_aside_is_the_old_hosts(source, dest, instance):
    source.driver.set_aside(instance, grace_s=0)
    dest.driver.receive(instance, from_host=source.name, start=True)

    dest.driver.destroy(at(instance, dest))

    source.driver.take_back(instance, start=True)
    wait_until(lambda: len(boots(source.console(instance))) == 2)

# SPDX-License-Identifier: Apache-2.0
"""The fake driver: the drivers' contract, failures to order, memory across a kill."""

import json
from pathlib import Path

import pytest

from common.errors import HypervisorError, ImageUnacceptable
from common.objects.host_power import HostPowerAction
from common.objects.resources import Resources
from common.states import PowerState
from services.compute.virt.driver import never_cancelled
from services.compute.virt.fake.director import Behaviour, Director, Fault
from services.compute.virt.fake.driver import FakeDriver
from services.compute.virt.fake.memory import GuestMemory
from tests.contracts.drivers.contract import DriverContract
from tests.contracts.drivers.instances import IMAGE, make_instance
from tests.contracts.drivers.moves import MoveContract, Site

TOTAL = Resources(vcpus=8, memory_mib=8192, disk_gib=100)


def make_driver(memory, director=None, host="fake1", snapshots=Path("/nonexistent")):
    return FakeDriver(
        host, total=TOTAL, director=director or Director(Behaviour()), memory=memory,
        snapshots=snapshots, images=snapshots.parent / "images",
    )  # fmt: skip


class TestFakeDriver(DriverContract):
    @pytest.fixture
    def state_file(self, tmp_path):
        return tmp_path / "guests"

    @pytest.fixture
    def driver(self, state_file, changes, tmp_path):
        driver = make_driver(GuestMemory(state_file), snapshots=tmp_path / "snapshots")
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def another_run(self, state_file, running):
        return make_driver(GuestMemory(state_file))


class TestFakeMoves(MoveContract):
    @pytest.fixture
    def memory(self):
        return GuestMemory()

    @pytest.fixture
    def source(self, memory):
        return Site("fake1", make_driver(memory, host="fake1"))

    @pytest.fixture
    def dest(self, memory):
        return Site("fake2", make_driver(memory, host="fake2"))


def test_hosts_of_one_process_have_guests_of_their_own():
    memory, instance = GuestMemory(), make_instance()
    one, two = make_driver(memory, host="one"), make_driver(memory, host="two")

    one.build(instance)

    assert instance.uuid in one.power_states()
    assert two.power_states() == {}


def test_a_cached_image_leaves_a_file_for_each_host(tmp_path):
    for host in ("one", "two"):
        make_driver(GuestMemory(), host=host, snapshots=tmp_path / "s").cache_image(IMAGE)

    left = sorted(file.name for file in (tmp_path / "images").iterdir())
    assert left == [f"one.{IMAGE.id}", f"two.{IMAGE.id}"]


def test_half_a_line_of_a_killed_process_is_ignored(tmp_path):
    state_file = tmp_path / "guests"
    state_file.write_text("fake1 u1 1\nfake1 u2 1\nfake1 u1 0\nfake1 u")

    assert GuestMemory(state_file).guests("fake1") == {"u2": PowerState.RUNNING}
    assert state_file.read_text() == "fake1 u2 1\n"


def test_a_fault_hits_its_operation_as_often_as_it_shall():
    chances = iter([0.05, 0.5])
    director = Director(
        Behaviour.parse({}, ["build:0.1:ImageUnacceptable"]), chance=lambda: next(chances)
    )

    with pytest.raises(ImageUnacceptable):
        director.perform("build", never_cancelled)
    director.perform("build", never_cancelled)
    director.perform("destroy", never_cancelled)


def test_the_control_file_overrules_the_configuration_while_it_exists(tmp_path):
    control = tmp_path / "control.json"
    director = Director(Behaviour(), control_file=control)

    director.perform("build", never_cancelled)
    control.write_text(json.dumps({"faults": ["*:1:HypervisorError"]}))
    with pytest.raises(HypervisorError):
        director.perform("build", never_cancelled)
    control.unlink()
    director.perform("build", never_cancelled)


def test_a_fault_that_names_no_error_is_refused():
    with pytest.raises(ValueError, match="NoSuchError"):
        Fault.parse("build:1:NoSuchError")


def test_a_host_that_is_powered_off_takes_its_guests_with_it(tmp_path):
    changed = []
    driver = make_driver(GuestMemory())
    driver.start(changed.append)
    on, saved = make_instance(), make_instance()
    driver.build(on)
    driver.build(saved)
    driver.suspend(saved)
    changed.clear()

    driver.power_host(HostPowerAction.SHUTDOWN)

    assert driver.health() == "the host is powered off"
    assert driver.power_states() == {
        on.uuid: PowerState.SHUTDOWN, saved.uuid: PowerState.SUSPENDED,
    }  # fmt: skip
    assert changed == [on.uuid]
    with pytest.raises(HypervisorError, match="powered off"):
        driver.power_on(on)


@pytest.mark.parametrize("action", [HostPowerAction.STARTUP, HostPowerAction.REBOOT])
def test_a_host_that_came_back_runs_guests_again_when_asked(action):
    driver = make_driver(GuestMemory())
    instance = make_instance()
    driver.build(instance)
    driver.power_host(HostPowerAction.SHUTDOWN)

    driver.power_host(action)

    assert driver.health() is None
    assert driver.power_state(instance.uuid) is PowerState.SHUTDOWN
    assert driver.power_on(instance) is PowerState.RUNNING


def test_a_host_that_is_on_keeps_its_guests_when_it_shall_start_up():
    driver = make_driver(GuestMemory())
    instance = make_instance()
    driver.build(instance)

    driver.power_host(HostPowerAction.STARTUP)

    assert driver.power_state(instance.uuid) is PowerState.RUNNING

# SPDX-License-Identifier: Apache-2.0
"""The conductor is told of power states that nobody asked for, and of no others."""

from pathlib import Path

import pytest

from common.errors import Unavailable
from common.objects.resources import Resources
from common.states import PowerState
from services.compute.hosts import Host, Hosts, Offer
from services.compute.power_watch import PowerWatch
from services.compute.virt.fake.director import Behaviour, Director
from services.compute.virt.fake.driver import FakeDriver
from services.compute.virt.fake.memory import GuestMemory
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance


class Scene:
    """A fake host, and a conductor that writes down what it is told."""

    def __init__(self, first=None):
        self.driver = FakeDriver(
            "h1",
            total=Resources(vcpus=1, memory_mib=1, disk_gib=1),
            director=Director(Behaviour()),
            memory=GuestMemory(),
            snapshots=Path("/nonexistent"),
            images=Path("/nonexistent"),
        )
        self.busy, self.told, self.recorded, self.strays = set(), [], {}, []
        hosts = Hosts([Host("h1", "uuid", self.driver)], rpc_server="node", offer=Offer())
        self.watch = PowerWatch(
            hosts,
            is_busy=lambda uuid: uuid in self.busy,
            tell=lambda host, states: self.told.append((host, states)),
            tell_strays=lambda host, states: self.strays.append((host, states)),
            recorded=lambda host: self.recorded,
            first=first,
        )
        self.driver.start(self.watch.sink("h1"))
        self.watch.start()


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.watch.stop()


@pytest.fixture
def running(scene):
    instance = make_instance()
    scene.driver.build(instance)
    scene.watch.told(instance.uuid, PowerState.RUNNING)
    return instance.uuid


def test_a_guest_that_stops_by_itself_is_told_once(scene, running):
    scene.driver.guest_stops_by_itself(running)

    wait_until(lambda: scene.told)
    assert scene.told == [("h1", {running: 4})]


def test_a_guest_with_an_operation_is_told_when_it_is_over(scene, running):
    scene.busy.add(running)
    scene.driver.guest_stops_by_itself(running)
    other = make_instance()
    scene.driver.build(other)
    wait_until(lambda: scene.told)
    assert scene.told == [("h1", {other.uuid: 1})]

    scene.busy.clear()

    wait_until(lambda: ("h1", {running: 4}) in scene.told)


def test_a_sweep_finds_what_no_event_told(scene, running):
    scene.recorded = {running: 4}

    scene.watch.sweep()

    wait_until(lambda: scene.told == [("h1", {running: 1})])


def test_a_sweep_tells_of_a_guest_that_is_gone(scene):
    scene.recorded = {"lost": 1, "never-ran": 0}

    scene.watch.sweep()

    assert scene.told == [("h1", {"lost": 4})]


def test_a_guest_without_an_instance_is_told_and_left_alone(scene, running, caplog):
    scene.watch.sweep()
    scene.watch.sweep()

    assert scene.strays == [("h1", {running: 1})] * 2
    assert len([r for r in caplog.records if running in r.getMessage()]) == 1
    assert running in scene.driver.power_states()


def test_nothing_is_told_before_what_comes_first():
    away = [True]

    def first():
        if away:
            raise Unavailable(service="the conductor")

    scene = Scene(first)
    try:
        instance = make_instance()
        scene.driver.build(instance)
        with pytest.raises(Unavailable):
            scene.watch.sweep()
        assert not scene.told

        away.clear()
        scene.watch.sweep()

        wait_until(lambda: scene.told == [("h1", {instance.uuid: 1})])
    finally:
        scene.watch.stop()

# SPDX-License-Identifier: Apache-2.0
"""The compute daemon over a real broker: what it tells, and that a kill loses nothing."""

import pytest

from common.context import service_context
from common.errors import DomainNotFound
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance

pytestmark = pytest.mark.functional


def test_every_host_of_the_daemon_is_reported_and_alive(make_scene):
    scene = make_scene(hosts=3, host_prefix="fake")

    scene.start()

    assert sorted(scene.hosts.reported) == ["fake1", "fake2", "fake3"]
    wait_until(lambda: ("nova-compute", "fake3") in scene.hosts.alive)


def test_a_conductor_that_comes_later_hears_of_the_host_at_once(make_scene):
    scene = make_scene(conductor=False)
    scene.launch()
    wait_until(lambda: "not available" in (scene.problems() or ""), 20)

    scene.serve_conductor()

    wait_until(lambda: "node" in scene.hosts.reported)


def test_an_instance_is_built_shown_and_destroyed(make_scene):
    scene, instance = make_scene(), make_instance()
    scene.start()

    scene.send("b", "build", "node", instance)
    assert scene.reports.report_of("b").result == {"power_state": 1}
    assert "login" in scene.compute.console_output(service_context(), "node", instance)
    scene.send("d", "destroy", "node", instance)
    assert scene.reports.report_of("d").error is None

    assert scene.guests() == set()
    with pytest.raises(DomainNotFound):
        scene.compute.console_output(service_context(), "node", instance)


def test_operations_of_a_foreign_host_fail_with_a_reason(make_scene):
    scene, instance = make_scene(), make_instance()
    scene.start()

    scene.send("b", "build", "elsewhere", instance)

    assert scene.reports.report_of("b").error.name == "HostNotFound"


def test_a_build_under_way_when_the_daemon_is_killed_is_resumed(make_scene):
    scene, instance = make_scene(delays_ms="build:1000"), make_instance()
    scene.start()
    scene.send("b", "build", "node", instance)
    scene.wait_until_under_way("build")

    scene.kill()
    scene.start()

    assert scene.reports.report_of("b").result == {"power_state": 1}
    assert scene.guests() == {instance.uuid}


def test_a_message_that_never_came_is_made_up_for(make_scene):
    scene, instance = make_scene(), make_instance()
    scene.start()
    scene.compute = scene.compute.client(scene.bus, "nobody-listens-here")

    scene.send("b", "build", "node", instance)

    assert scene.reports.report_of("b").result == {"power_state": 1}


def test_a_terminated_daemon_leaves_nothing_undone(make_scene):
    scene, instance = make_scene(delays_ms="build:1500"), make_instance()
    scene.start()
    scene.send("b", "build", "node", instance)
    scene.wait_until_under_way("build")

    assert scene.terminate() == 0
    scene.start()

    assert scene.reports.report_of("b").result == {"power_state": 1}


def test_destroy_during_a_build_wins(make_scene):
    scene, instance = make_scene(delays_ms="build:20000"), make_instance()
    scene.start()
    scene.send("b", "build", "node", instance)

    scene.send("d", "destroy", "node", instance)

    assert scene.reports.report_of("b").error.name == "OperationCancelled"
    assert scene.reports.report_of("d").error is None
    assert scene.guests() == set()


def test_an_operation_that_failed_runs_again_only_when_it_is_asked_for_again(make_scene):
    scene, instance = make_scene(faults="destroy:1:HypervisorError"), make_instance()
    scene.start()
    scene.send("d", "destroy", "node", instance)
    assert scene.reports.report_of("d").error.name == "HypervisorError"

    scene.ask_again("d", "destroy", "node", instance)

    scene.wait_until_under_way("destroy", times=2)


def test_a_destroy_never_overtakes_the_build_before_it(make_scene):
    scene, instances = make_scene(), [make_instance() for _ in range(30)]
    scene.start()

    for instance in instances:
        scene.send(f"b{instance.uuid}", "build", "node", instance)
        scene.send(f"d{instance.uuid}", "destroy", "node", instance)

    for instance in instances:
        assert scene.reports.report_of(f"d{instance.uuid}").error is None
        scene.reports.report_of(f"b{instance.uuid}")
    assert scene.guests() == set()

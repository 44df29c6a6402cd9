# SPDX-License-Identifier: Apache-2.0
"""What every hypervisor driver owes its caller.

Subclasses provide two fixtures: `driver`, started with the sink `changes.append`, and
`another_run`, which gives a second driver of the same host, as after a restart of the daemon.
What a driver's guests cannot do at all its class names as `lacking`: the driver then owes a refusal
in words, and the contract holds it to that.
"""

import contextlib
import json
import subprocess
import threading
import time

import msgspec
import pytest

from common.errors import DomainNotFound, InstanceNotReady, NotSupported, OperationCancelled
from common.objects.console import ConsoleKind
from common.states import PowerState
from tests.contracts.drivers.instances import IMAGE, make_instance, make_vif
from tests.waiting import Looking


class DriverContract:
    """Promises of services/compute/virt/driver.py."""

    # Of suspend, rescue, crash_dump, consoles and disk_counters.
    lacking = frozenset()
    # What a guest does that is built paused: the hypervisor may have no such start.
    held = PowerState.PAUSED

    @contextlib.contextmanager
    def able(self, ability):
        """What is done inside works; a driver that lacks the ability refuses its first call."""
        if ability not in self.lacking:
            yield
            return
        with pytest.raises(NotSupported, match="cannot"):
            yield

    @pytest.fixture
    def changes(self):
        """Uuids that the driver told its sink."""
        return []

    @pytest.fixture
    def instance(self, driver):
        """An instance that may be built; gone after the test."""
        instance = make_instance()
        yield instance
        driver.destroy(instance)

    @pytest.fixture
    def running(self, driver, instance):
        """An instance whose guest runs."""
        driver.build(instance)
        return instance

    @pytest.fixture
    def vif(self):
        """A port that is bound to this host."""
        return make_vif()

    def test_a_built_instance_runs(self, driver, instance):
        state = driver.build(instance)

        assert state is PowerState.RUNNING
        assert driver.power_state(instance.uuid) is PowerState.RUNNING
        assert driver.power_states()[instance.uuid] is PowerState.RUNNING

    def test_building_again_changes_nothing(self, driver, running):
        before = driver.power_states()

        assert driver.build(running) is PowerState.RUNNING
        assert driver.power_states() == before

    def test_a_cancelled_build_gives_up_and_destroy_leaves_nothing(self, driver, instance):
        def cancelled():
            raise OperationCancelled(reason="the test says so")

        with pytest.raises(OperationCancelled):
            driver.build(instance, cancelled)
        driver.destroy(instance)

        assert instance.uuid not in driver.power_states()

    def test_a_build_after_a_cancelled_one_runs(self, driver, instance):
        def cancelled():
            raise OperationCancelled(reason="the test says so")

        with pytest.raises(OperationCancelled):
            driver.build(instance, cancelled)

        assert driver.build(instance) is PowerState.RUNNING

    def test_destroy_removes_the_guest(self, driver, running):
        driver.destroy(running)

        assert running.uuid not in driver.power_states()
        with pytest.raises(DomainNotFound):
            driver.power_state(running.uuid)

    def test_destroying_what_is_not_there_is_fine(self, driver, instance):
        driver.destroy(instance)
        driver.destroy(instance)

    def test_power_off_stops_the_guest(self, driver, running):
        assert driver.power_off(running, grace_s=0) is PowerState.SHUTDOWN
        assert driver.power_state(running.uuid) is PowerState.SHUTDOWN

    def test_power_off_cuts_the_power_of_a_guest_that_does_not_follow(self, driver, running):
        assert driver.power_off(running, grace_s=1) is PowerState.SHUTDOWN

    def test_power_off_of_a_stopped_instance_changes_nothing(self, driver, running):
        driver.power_off(running, grace_s=0)

        assert driver.power_off(running, grace_s=0) is PowerState.SHUTDOWN

    def test_power_on_starts_a_stopped_instance(self, driver, running):
        driver.power_off(running, grace_s=0)

        assert driver.power_on(running) is PowerState.RUNNING
        assert driver.power_on(running) is PowerState.RUNNING

    @pytest.mark.parametrize("hard", [False, True])
    def test_a_rebooted_instance_runs(self, driver, running, hard):
        assert driver.reboot(running, hard=hard) is PowerState.RUNNING

    def test_a_guest_that_went_down_with_its_host_runs_again(self, driver, running):
        driver.power_off(running, grace_s=0)

        for _ in range(2):
            assert driver.revive(running) is PowerState.RUNNING

        assert driver.place(running.uuid).pins == {}

    def test_a_stopped_instance_runs_after_a_hard_reboot(self, driver, running):
        driver.power_off(running, grace_s=0)

        assert driver.reboot(running, hard=True) is PowerState.RUNNING

    def test_a_paused_guest_goes_on(self, driver, running):
        assert driver.pause(running) is PowerState.PAUSED
        assert driver.pause(running) is PowerState.PAUSED
        assert driver.unpause(running) is PowerState.RUNNING
        assert driver.unpause(running) is PowerState.RUNNING

    def test_a_guest_that_is_built_paused_is_held_until_it_may_go_on(self, driver, instance):
        held = driver.build(instance, paused=True)

        assert held is self.held
        assert driver.power_state(instance.uuid) is held
        assert driver.build(instance, paused=True) is held
        assert driver.unpause(instance) is PowerState.RUNNING
        assert driver.power_state(instance.uuid) is PowerState.RUNNING

    def test_a_suspended_guest_goes_on(self, driver, running):
        with self.able("suspend"):
            assert driver.suspend(running) in (PowerState.SUSPENDED, PowerState.SHUTDOWN)
        with self.able("suspend"):
            assert driver.resume(running) is PowerState.RUNNING
        assert driver.power_state(running.uuid) is PowerState.RUNNING

    def test_an_interface_is_attached_whether_the_guest_runs_or_not(self, driver, running, vif):
        another = msgspec.structs.replace(
            vif, port_id="4f0d3d8e-6a5c-4fd2-9a53-2c4c70f0a112", mac="fa:16:3e:00:00:02",
            device="tap4f0d3d8e-6a",
        )  # fmt: skip

        assert driver.attach_interface(running, vif) is PowerState.RUNNING
        assert driver.attach_interface(running, vif) is PowerState.RUNNING
        driver.power_off(running, grace_s=0)
        assert driver.attach_interface(running, another) is PowerState.SHUTDOWN

    def test_an_interface_is_detached_from_a_guest_that_is_off(self, driver, running, vif):
        driver.power_off(running, grace_s=0)
        driver.attach_interface(running, vif)

        assert driver.detach_interface(running, vif) is PowerState.SHUTDOWN
        assert driver.detach_interface(running, vif) is PowerState.SHUTDOWN

    def test_an_interface_that_is_not_there_is_detached_from_a_guest_that_runs(
        self, driver, running, vif
    ):
        assert driver.detach_interface(running, vif) is PowerState.RUNNING

    def test_a_crash_dump_leaves_the_guest_to_its_kernel(self, driver, running):
        with self.able("crash_dump"):
            assert driver.trigger_crash_dump(running) is PowerState.RUNNING
        assert driver.power_state(running.uuid) is PowerState.RUNNING

    def test_a_rebuilt_guest_runs(self, driver, running):
        assert driver.rebuild(running) is PowerState.RUNNING

    def test_a_rescued_guest_runs_and_comes_back(self, driver, running):
        with self.able("rescue"):
            assert driver.rescue(running, running.image) is PowerState.RUNNING
        # Also what undoes a rescue that was refused.
        assert driver.unrescue(running) is PowerState.RUNNING
        assert driver.power_state(running.uuid) is PowerState.RUNNING

    def test_a_snapshot_is_a_whole_disk_and_the_guest_goes_on(self, driver, running):
        assert driver.snapshot(running, "an-image") is PowerState.RUNNING

        path = driver.snapshot_path("an-image")
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", path], check=True)
        told = subprocess.run(
            ["qemu-img", "info", "--output=json", path], check=True, capture_output=True
        )
        assert "backing-filename" not in json.loads(told.stdout)
        driver.discard_snapshot("an-image")
        driver.discard_snapshot("an-image")
        assert not path.exists()

    def test_an_image_is_cached_ahead_as_often_as_asked(self, driver):
        driver.cache_image(IMAGE)
        driver.cache_image(IMAGE)

    def test_an_unknown_instance_is_not_found(self, driver):
        nobody = make_instance()

        for operation in (
            lambda: driver.power_state(nobody.uuid),
            lambda: driver.power_on(nobody),
            lambda: driver.power_off(nobody, grace_s=0),
            lambda: driver.reboot(nobody, hard=True),
            lambda: driver.console_output(nobody.uuid, tail_bytes=100),
            lambda: driver.diagnostics(nobody.uuid),
            lambda: driver.attach_interface(nobody, make_vif()),
            lambda: driver.detach_interface(nobody, make_vif()),
        ):
            with pytest.raises(DomainNotFound):
                operation()
        with self.able("consoles"), pytest.raises(DomainNotFound):
            driver.console(nobody.uuid, ConsoleKind.VNC)

    def test_console_output_is_never_longer_than_asked_for(self, driver, running):
        assert len(driver.console_output(running.uuid, tail_bytes=5)) <= 5

    @pytest.mark.parametrize("kind", [ConsoleKind.VNC, ConsoleKind.SPICE, ConsoleKind.SERIAL])
    def test_a_guest_that_runs_has_its_consoles_somewhere(self, driver, running, kind):
        with self.able("consoles"):
            found = driver.console(running.uuid, kind)

            assert found.host
            assert 0 < found.port < 65536
            assert driver.console(running.uuid, kind) == found

    def test_a_paused_guest_keeps_its_consoles(self, driver, running):
        with self.able("consoles"):
            before = driver.console(running.uuid, ConsoleKind.VNC)
            driver.pause(running)

            assert driver.console(running.uuid, ConsoleKind.VNC) == before

    def test_a_guest_that_is_off_has_no_console_yet(self, driver, running):
        driver.power_off(running, grace_s=0)

        for kind in (ConsoleKind.VNC, ConsoleKind.SERIAL):
            with self.able("consoles"), pytest.raises(InstanceNotReady):
                driver.console(running.uuid, kind)

    def test_a_console_that_no_driver_has_is_refused(self, driver, running):
        with pytest.raises(NotSupported, match="mks"):
            driver.console(running.uuid, ConsoleKind.MKS)

    def test_what_is_counted_of_a_guest_is_there_whether_it_runs_or_not(self, driver, running):
        on = driver.diagnostics(running.uuid)
        driver.power_off(running, grace_s=0)
        off = driver.diagnostics(running.uuid)

        assert (on.state, off.state) == (PowerState.RUNNING, PowerState.SHUTDOWN)
        assert len(on.cpu_times_ns) >= 1
        assert on.memory_mib >= 1
        disks = [] if "disk_counters" in self.lacking else ["vda"]
        assert [disk.device for disk in on.disks][:1] == disks
        assert off.cpu_times_ns == ()

    def test_power_changes_are_told(self, driver, changes, running):
        changes.clear()

        driver.power_off(running, grace_s=0)

        wait_until(lambda: running.uuid in changes)

    def test_instances_are_built_side_by_side(self, driver):
        several = [make_instance() for _ in range(3)]
        threads = [threading.Thread(target=driver.build, args=(i,)) for i in several]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            states = driver.power_states()
            assert [states[i.uuid] for i in several] == [PowerState.RUNNING] * 3
        finally:
            for instance in several:
                driver.destroy(instance)

    def test_guests_outlive_the_driver(self, driver, running, another_run):
        driver.stop()

        assert another_run.power_state(running.uuid) is PowerState.RUNNING
        another_run.destroy(running)

    def test_the_inventory_has_something_to_give(self, driver):
        found = driver.inventory()

        assert found.node
        assert found.total.vcpus > 0
        assert found.total.memory_mib > 0
        assert found.total.disk_gib > 0
        assert found.supported
        assert driver.health() is None


def wait_until(condition, within_s=10.0):
    """Return when `condition` holds; fail when it does not in time."""
    deadline, looking = time.monotonic() + within_s, Looking(0.01)
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        looking.pause()

# SPDX-License-Identifier: Apache-2.0
"""What every hypervisor driver owes its caller with volumes.

Subclasses provide `driver`, `boot_content` (what a disk begins with that guests boot from),
`has(instance)` (ids of the volumes that the guest has) and `connected(instance)` (ids of those that
the host has connected for it).

Volumes are on the SCSI bus where guests that run lose them: nothing in such a guest must agree.
"""

import msgspec
import pytest

from common.errors import DomainNotFound, OperationCancelled
from common.states import PowerState
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.volumes import VolumeFolder


def cancelled():
    """A checkpoint of an operation that nobody wants any more."""
    raise OperationCancelled(reason="the test says so")


def with_disks(instance, *disks):
    """The instance as the conductor describes it when it has these disks beside its image's."""
    return msgspec.structs.replace(instance, block_devices=(*instance.block_devices, *disks))


class VolumeContract:
    """Promises of services/compute/virt/driver.py about volumes."""

    @pytest.fixture
    def changes(self):
        """Uuids that the driver told its sink."""
        return []

    @pytest.fixture
    def volumes(self, tmp_path):
        """Makes volumes."""
        return VolumeFolder(tmp_path)

    @pytest.fixture
    def running(self, driver):
        """An instance that booted from its image."""
        instance = make_instance()
        driver.build(instance)
        yield instance
        driver.destroy(instance)

    @pytest.fixture
    def from_volume(self, driver, volumes, boot_content):
        """An instance that booted from a volume and has another one."""
        root = volumes.make(content=boot_content, boot_index=0, device_name="/dev/vda")
        instance = with_disks(make_instance(image=None), root, volumes.make())
        driver.build(instance)
        yield instance
        driver.destroy(instance)

    def test_an_attached_volume_is_there_once(self, driver, running, volumes, has):
        disk = volumes.make()

        assert driver.attach_volume(running, disk) is PowerState.RUNNING
        assert driver.attach_volume(running, disk) is PowerState.RUNNING

        assert has(running) == {disk.volume_id}

    def test_a_stopped_guest_has_its_new_volume_at_its_start(self, driver, running, volumes, has):
        disk = volumes.make()
        driver.power_off(running, grace_s=0)

        assert driver.attach_volume(running, disk) is PowerState.SHUTDOWN
        driver.power_on(with_disks(running, disk))

        assert has(running) == {disk.volume_id}

    def test_a_detached_volume_is_gone_from_guest_and_host(
        self, driver, running, volumes, has, connected
    ):
        disk, other = volumes.make(disk_bus="scsi"), volumes.make()
        driver.attach_volume(running, disk)
        driver.attach_volume(running, other)

        assert driver.detach_volume(running, disk) is PowerState.RUNNING
        assert driver.detach_volume(running, disk) is PowerState.RUNNING

        assert has(running) == connected(running) == {other.volume_id}

    def test_a_stopped_guest_loses_a_volume(self, driver, running, volumes, has, connected):
        disk = volumes.make()
        driver.attach_volume(running, disk)
        driver.power_off(running, grace_s=0)

        assert driver.detach_volume(running, disk) is PowerState.SHUTDOWN
        driver.power_on(running)

        assert has(running) == connected(running) == set()

    def test_detaching_cleans_up_after_an_attachment_that_was_cancelled(
        self, driver, running, volumes, has, connected
    ):
        disk = volumes.make(disk_bus="scsi")

        with pytest.raises(OperationCancelled):
            driver.attach_volume(running, disk, cancelled)
        driver.detach_volume(running, disk)

        assert has(running) == connected(running) == set()

    def test_a_guest_boots_from_a_volume(self, driver, from_volume, has):
        assert driver.power_state(from_volume.uuid) is PowerState.RUNNING
        assert has(from_volume) == {d.volume_id for d in from_volume.block_devices}

    @pytest.mark.parametrize(
        "verb", ["build", "reboot", "stop and start", "suspend", "rescue", "rebuild"]
    )
    def test_volumes_stay_with_their_guest(self, driver, from_volume, has, verb):
        before = has(from_volume)

        match verb:
            case "build":
                driver.build(from_volume)
            case "reboot":
                driver.reboot(from_volume, hard=True)
            case "stop and start":
                driver.power_off(from_volume, grace_s=0)
                driver.power_on(from_volume)
            case "suspend":
                driver.suspend(from_volume)
                driver.resume(from_volume)
            case "rescue":
                driver.rescue(from_volume, make_instance().image)
                assert has(from_volume) == before
                driver.unrescue(from_volume)
            case "rebuild":
                driver.rebuild(from_volume)

        assert has(from_volume) == before
        assert driver.power_state(from_volume.uuid) is PowerState.RUNNING

    def test_destroy_disconnects_volumes_and_leaves_what_they_hold(
        self, driver, from_volume, connected, volumes, boot_content
    ):
        driver.destroy(from_volume)

        assert connected(from_volume) == set()
        root = volumes.path_of(from_volume.block_devices[0].volume_id)
        with root.open("rb") as file:
            assert file.read(len(boot_content)) == boot_content

    def test_a_swapped_volume_is_in_the_others_place(
        self, driver, running, volumes, has, connected
    ):
        old, new = volumes.make(), volumes.make(size_gib=2)
        driver.attach_volume(running, old)

        assert driver.swap_volume(running, old, new) is PowerState.RUNNING
        assert driver.swap_volume(running, old, new) is PowerState.RUNNING

        assert has(running) == connected(running) == {new.volume_id}

    def test_a_swap_that_is_cancelled_leaves_the_guest_its_volume(
        self, driver, running, volumes, has, connected
    ):
        old, new = volumes.make(), volumes.make()
        driver.attach_volume(running, old)

        with pytest.raises(OperationCancelled):
            driver.swap_volume(running, old, new, cancelled)

        assert has(running) == connected(running) == {old.volume_id}

    def test_an_extended_volume_stays_where_it_is(self, driver, running, volumes, has):
        disk = volumes.make()
        driver.attach_volume(running, disk)
        larger = msgspec.structs.replace(disk, size_gib=2)

        assert driver.extend_volume(running, larger) is PowerState.RUNNING
        assert driver.extend_volume(running, larger) is PowerState.RUNNING

        assert has(running) == {disk.volume_id}

    def test_a_snapshot_of_a_volume_is_made_and_merged(self, driver, running, volumes, has):
        disk = volumes.make()
        name = volumes.path_of(disk.volume_id).name
        merge = {"file_to_merge": f"{name}.snap", "merge_target_file": name, "type": "qcow2"}
        driver.attach_volume(running, disk)

        for _ in range(2):
            state = driver.snapshot_volume(running, disk, f"{name}.snap")
            assert state is PowerState.RUNNING
        for _ in range(2):
            assert driver.merge_volume_snapshot(running, disk, merge) is PowerState.RUNNING

        assert has(running) == {disk.volume_id}

    def test_a_quiet_guest_goes_on(self, driver, running):
        if driver.quiesce(running):
            driver.unquiesce(running)

        assert driver.power_state(running.uuid) is PowerState.RUNNING

    def test_an_unknown_instance_is_not_found(self, driver, volumes):
        nobody, disk, other = make_instance(), volumes.make(), volumes.make()

        for operation in (
            lambda: driver.attach_volume(nobody, disk),
            lambda: driver.detach_volume(nobody, disk),
            lambda: driver.swap_volume(nobody, disk, other),
            lambda: driver.extend_volume(nobody, disk),
            lambda: driver.snapshot_volume(nobody, disk, "snap"),
            lambda: driver.merge_volume_snapshot(nobody, disk, {}),
            lambda: driver.quiesce(nobody),
            lambda: driver.unquiesce(nobody),
        ):
            with pytest.raises(DomainNotFound):
                operation()

    def test_the_host_says_how_it_reaches_volumes(self, driver):
        connector = driver.inventory().connector

        assert connector["host"]
        assert connector["ip"]
        assert connector["os_type"].startswith("linux")

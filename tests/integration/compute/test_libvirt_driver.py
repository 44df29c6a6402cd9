# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver on a real libvirtd: the drivers' contract, and what is libvirt's own."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from common.errors import HypervisorError
from common.states import PowerState
from services.compute.images import GIB
from services.compute.virt.libvirt.domain_xml.spec import Platform
from tests.contracts.drivers.contract import DriverContract, wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance, make_vif
from tests.integration.compute.conftest import GREETING, IMAGE_BYTES

pytestmark = pytest.mark.integration


class TestLibvirtDriver(DriverContract):
    @pytest.fixture
    def driver(self, make_driver, changes):
        driver = make_driver()
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def another_run(self, make_driver):
        driver = make_driver()
        driver.start(lambda _: None)
        return driver

    def test_the_serial_console_is_kept_over_a_restart(self, driver, running):
        greeting = GREETING.decode().strip()
        wait_until(lambda: greeting in driver.console_output(running.uuid, tail_bytes=1000))

        driver.reboot(running, hard=True)

        wait_until(
            lambda: driver.console_output(running.uuid, tail_bytes=1000).count(greeting) == 2
        )

    def test_a_hard_reboot_of_a_suspended_guest_boots_it(self, driver, running):
        greeting = GREETING.decode().strip()
        wait_until(lambda: greeting in driver.console_output(running.uuid, tail_bytes=1000))
        driver.suspend(running)

        driver.reboot(running, hard=True)

        wait_until(
            lambda: driver.console_output(running.uuid, tail_bytes=1000).count(greeting) == 2
        )

    def test_a_resumed_guest_goes_on_where_it_was(self, driver, running):
        greeting = GREETING.decode().strip()
        wait_until(lambda: greeting in driver.console_output(running.uuid, tail_bytes=1000))
        driver.suspend(running)

        driver.resume(running)

        assert driver.console_output(running.uuid, tail_bytes=1000).count(greeting) == 1

    def test_a_snapshot_has_what_the_root_disk_has(self, driver, running, tmp_path):
        driver.snapshot(running, "an-image")

        raw = tmp_path / "raw"
        path = driver.snapshot_path("an-image")
        command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw]
        subprocess.run(command, check=True)
        assert raw.read_bytes()[: len(IMAGE_BYTES)] == IMAGE_BYTES
        assert raw.stat().st_size == GIB
        driver.discard_snapshot("an-image")

    def test_a_rescue_image_has_a_config_drive_with_its_own_password(self, driver, libvirt_host):
        instance = make_instance(config_drive=True, admin_password="first")
        try:
            driver.build(instance)
            driver.rescue(msgspec.structs.replace(instance, admin_password="second"), IMAGE)

            disks = libvirt_host.run("virsh", "domblklist", f"kilonova-{instance.uuid}").split()
            [drive] = [Path(d) for d in disks if "/disk.config" in d]
            assert drive.name == "disk.config.rescue"
            assert b"second" in drive.read_bytes()
            driver.unrescue(instance)
            disks = libvirt_host.run("virsh", "domblklist", f"kilonova-{instance.uuid}").split()
            [drive] = [Path(d) for d in disks if "/disk.config" in d]
            assert (drive.name, b"first" in drive.read_bytes()) == ("disk.config", True)
        finally:
            driver.destroy(instance)

    def test_a_guest_that_a_killed_daemon_left_standing_still_goes_on(self, driver, running):
        driver.pause(running)

        assert driver.snapshot(running, "an-image") is PowerState.RUNNING

        driver.discard_snapshot("an-image")
        driver.pause(running)
        paused = msgspec.structs.replace(running, vm_state="paused")
        assert driver.snapshot(paused, "an-image") is PowerState.PAUSED
        driver.discard_snapshot("an-image")

    def test_a_rescued_guest_boots_from_the_rescue_disk(self, driver, running, libvirt_host):
        driver.rescue(running, IMAGE)

        name = f"kilonova-{running.uuid}"
        disks = libvirt_host.run("virsh", "domblklist", name)
        first, second = [line.split()[1] for line in disks.splitlines() if "/" in line][:2]
        assert (first.rsplit("/", 1)[-1], second.rsplit("/", 1)[-1]) == ("disk.rescue", "disk")
        driver.unrescue(running)
        assert "disk.rescue" not in libvirt_host.run("virsh", "domblklist", name)

    def test_boots_of_one_image_at_the_same_time_download_it_once(self, driver, source):
        self.test_instances_are_built_side_by_side(driver)

        assert source.downloads <= 1

    def test_a_guest_killed_behind_our_back_is_told(self, driver, changes, running, libvirt_host):
        changes.clear()

        pid_file = libvirt_host.folder / "run" / "qemu" / f"kilonova-{running.uuid}.pid"
        libvirt_host.run("kill", "-KILL", pid_file.read_text().strip())

        wait_until(lambda: running.uuid in changes)
        wait_until(lambda: driver.power_state(running.uuid) is PowerState.SHUTDOWN)
        assert driver.power_on(running) is PowerState.RUNNING

    def test_a_lost_definition_is_made_anew_at_power_on(self, driver, running, libvirt_host):
        name = f"kilonova-{running.uuid}"
        libvirt_host.run("virsh", "destroy", name)
        libvirt_host.run("virsh", "undefine", name)

        assert driver.power_on(running) is PowerState.RUNNING

    def test_a_guest_joins_its_bridge(self, driver, libvirt_host):
        libvirt_host.add_bridge("br-test")
        instance = make_instance(vifs=(make_vif(),))
        try:
            driver.build(instance)

            ports = libvirt_host.run("ip", "-o", "link", "show", "master", "br-test")
            assert "tap3f0d3d8e-6a" in ports
            assert "mtu 1450" in ports
        finally:
            driver.destroy(instance)
            libvirt_host.remove_bridge("br-test")

    @pytest.mark.parametrize(
        ("extra_specs", "properties", "vcpus"),
        [
            (
                {
                    "hw:cpu_max_sockets": "1", "hw:numa_nodes": "2", "hw:watchdog_action": "reset",
                    "hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb", "hw:serial_port_count": "2",
                    "hw_rng:rate_bytes": "2048", "quota:cpu_shares": "512",
                    "quota:disk_write_iops_sec": "500", "hw:boot_menu": "true", "hw:pmu": "false",
                    "hw:virtio_packed_ring": "true", "hw_video:ram_max_mb": "16",
                },
                {
                    "hw_machine_type": "q35", "hw_video_model": "vga", "hw_video_ram": "16",
                    "hw_viommu_model": "intel", "hw_input_bus": "usb", "hw_sound_model": "ich9",
                    "hw_usb_model": "qemu-xhci",
                },
                2,
            ),
            (
                {"hw:cpu_policy": "dedicated", "hw:tpm_version": "1.2"},
                {"hw_disk_bus": "scsi", "os_type": "windows", "hw_time_hpet": "true"},
                1,
            ),
            (
                {"os:secure_boot": "required"},
                {"hw_firmware_type": "uefi", "hw_disk_bus": "sata"},
                1,
            ),
        ],
        ids=("devices", "pinned", "secure-boot"),
    )  # fmt: skip
    def test_what_a_flavor_and_an_image_ask_for_starts(
        self, make_driver, extra_specs, properties, vcpus
    ):
        driver = make_driver(platform=Platform(disk_cache="unsafe", dedicated_cpus=frozenset((0,))))
        driver.start(lambda _: None)
        instance = make_instance(
            flavor=msgspec.structs.replace(TINY, extra_specs=extra_specs, vcpus=vcpus),
            image=msgspec.structs.replace(IMAGE, properties=properties),
        )

        try:
            assert driver.build(instance) is PowerState.RUNNING
            assert driver.reboot(instance, hard=True) is PowerState.RUNNING
        finally:
            driver.destroy(instance)

    def test_a_missing_bridge_is_named(self, driver, libvirt_host):
        instance = make_instance(vifs=(make_vif(bridge="br-none"),))

        with pytest.raises(HypervisorError, match="bridge br-none of port .* is not on this host"):
            driver.build(instance)
        driver.destroy(instance)

        assert instance.uuid not in driver.power_states()

    def test_destroy_leaves_no_files(self, driver, running, libvirt_host):
        driver.destroy(running)

        instances = libvirt_host.folder / "guests" / "instances"
        assert [p for p in instances.iterdir() if p.name.startswith(running.uuid)] == []

    def test_every_kind_of_disk_is_attached(self, driver, libvirt_host):
        flavor = type(TINY)(
            flavorid="2", name="rich", vcpus=2, memory_mib=32, root_gib=2, ephemeral_gib=1,
            swap_mib=16,
        )  # fmt: skip
        instance = make_instance(flavor=flavor, config_drive=True)
        try:
            driver.build(instance)

            disks = libvirt_host.run("virsh", "domblklist", f"kilonova-{instance.uuid}")
            names = [line.split()[0] for line in disks.splitlines()[2:] if line]
            assert names == ["vda", "vdb", "vdc", "hda"]
        finally:
            driver.destroy(instance)

    @pytest.mark.parametrize(
        ("properties", "settings"),
        [
            ({"hw_machine_type": "q35"}, {}),
            ({"hw_disk_bus": "scsi", "hw_vif_model": "e1000"}, {}),
            ({"hw_video_model": "none", "hw_qemu_guest_agent": "no"}, {"disk_format": "raw"}),
            ({}, {"config_drive_format": "vfat"}),
        ],
    )
    def test_guests_of_many_shapes_start(self, make_driver, properties, settings):
        driver = make_driver(**settings)
        driver.start(lambda _: None)
        image = make_instance().image
        shaped = type(image)(id=image.id, disk_format="raw", properties=properties)
        instance = make_instance(image=shaped, config_drive=True)
        try:
            assert driver.build(instance) is PowerState.RUNNING
        finally:
            driver.destroy(instance)

    def test_kvm_is_believed_only_when_it_runs_a_guest(self, make_driver):
        driver = make_driver(virt_type="auto")
        driver.start(lambda _: None)
        instance = make_instance()
        try:
            driver.build(instance)

            wait_until(lambda: "tiny guest" in driver.console_output(instance.uuid, tail_bytes=99))
        finally:
            driver.destroy(instance)

# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver on a real libvirtd: the drivers' contract, and what is libvirt's own."""

import dataclasses
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from common.errors import ConsoleTypeUnavailable, HypervisorError, NotSupported
from common.objects.console import ConsoleKind
from common.states import PowerState
from services.compute.images import GIB
from services.compute.virt.libvirt.domain_xml.spec import Platform
from tests.contracts.drivers.contract import DriverContract, wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance, make_vif
from tests.integration.compute.conftest import GREETING, IMAGE_BYTES, PLATFORM

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

    def test_a_guest_that_is_held_does_nothing_until_it_may_go_on(self, driver, instance):
        driver.build(instance, paused=True)
        first, second = (driver.diagnostics(instance.uuid) for _ in range(2))

        assert first.state is second.state is PowerState.PAUSED
        assert driver.console_output(instance.uuid, tail_bytes=1000) == ""
        driver.unpause(instance)
        greeting = GREETING.decode().strip()
        wait_until(lambda: greeting in driver.console_output(instance.uuid, tail_bytes=1000))

    @pytest.mark.parametrize(
        ("kind", "greeting"),
        [(ConsoleKind.VNC, "RFB 003."), (ConsoleKind.SPICE, ""), (ConsoleKind.SERIAL, "")],
    )
    def test_somebody_listens_where_a_console_is(
        self, driver, running, libvirt_host, kind, greeting
    ):
        found = driver.console(running.uuid, kind)

        read = f"exec 3<>/dev/tcp/{found.host}/{found.port}; head -c {len(greeting)} <&3"
        assert libvirt_host.run("timeout", "10", "bash", "-c", read) == greeting

    def test_guests_have_consoles_of_their_own(self, driver, running):
        other = make_instance()
        try:
            driver.build(other)

            for kind in (ConsoleKind.VNC, ConsoleKind.SPICE, ConsoleKind.SERIAL):
                ours, theirs = (driver.console(i.uuid, kind) for i in (running, other))
                assert ours.port != theirs.port
        finally:
            driver.destroy(other)

    def test_a_suspended_guests_serial_port_stays_its_own(self, make_driver):
        first, second = (
            make_driver(serial_ports=(10000, 10001)),
            make_driver(serial_ports=(10000, 10001)),
        )
        first.start(lambda _: None)
        suspended, other = make_instance(), make_instance()
        try:
            first.build(suspended)
            port = first.console(suspended.uuid, ConsoleKind.SERIAL).port
            first.suspend(suspended)
            second.start(lambda _: None)
            second.build(other)
            second.resume(suspended)

            assert second.console(suspended.uuid, ConsoleKind.SERIAL).port == port
            assert second.console(other.uuid, ConsoleKind.SERIAL).port != port
        finally:
            for instance in (suspended, other):
                first.destroy(instance)

    def test_a_guest_has_no_console_that_its_host_does_not_give(self, make_driver):
        driver = make_driver(platform=Platform(disk_cache="unsafe", vnc_listen=None))
        driver.start(lambda _: None)
        instance = make_instance()
        greeting = GREETING.decode().strip()
        try:
            driver.build(instance)

            for kind in (ConsoleKind.VNC, ConsoleKind.SPICE, ConsoleKind.SERIAL):
                with pytest.raises(ConsoleTypeUnavailable, match=kind):
                    driver.console(instance.uuid, kind)
            wait_until(lambda: greeting in driver.console_output(instance.uuid, tail_bytes=1000))
        finally:
            driver.destroy(instance)

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

    @pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
    def test_a_guest_runs_on_while_its_disk_is_copied(self, make_driver, disk_format, caplog):
        driver = make_driver(disk_format=disk_format)
        driver.start(lambda _: None)
        instance = make_instance()
        seen = []
        try:
            driver.build(instance)

            driver.snapshot(
                instance, "an-image", lambda: seen.append(driver.power_state(instance.uuid))
            )

            assert set(seen) == {PowerState.RUNNING}
            assert "stands still" not in caplog.text
            assert driver.snapshot_path("an-image").exists()
        finally:
            driver.discard_snapshot("an-image")
            driver.destroy(instance)

    def test_a_snapshot_that_must_be_quiet_is_refused_without_an_agent(self, driver):
        image = msgspec.structs.replace(IMAGE, properties={"os_require_quiesce": "yes"})
        instance = make_instance(image=image)
        try:
            driver.build(instance)

            with pytest.raises(NotSupported, match="agent"):
                driver.snapshot(instance, "an-image")

            assert driver.power_state(instance.uuid) is PowerState.RUNNING
            assert not driver.snapshot_path("an-image").exists()
        finally:
            driver.destroy(instance)

    def test_a_copy_that_a_killed_daemon_left_under_way_ends(
        self, driver, make_driver, running, libvirt_host
    ):
        name = f"kilonova-{running.uuid}"
        copy = libvirt_host.folder / "guests" / "instances" / running.uuid / "disk.copy"
        libvirt_host.run("virsh", "blockcopy", name, "vda", str(copy), "--transient-job")
        assert copy.exists()

        make_driver().start(lambda _: None)

        assert not copy.exists()
        assert "Block Copy" not in libvirt_host.run("virsh", "blockjob", name, "vda")
        assert driver.snapshot(running, "an-image") is PowerState.RUNNING
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
                {
                    "hw:cpu_policy": "dedicated", "hw:tpm_version": "1.2",
                    "hw:emulator_threads_policy": "isolate", "hw:hide_hypervisor_id": "true",
                },
                {"hw_disk_bus": "scsi", "os_type": "windows", "hw_time_hpet": "true"},
                1,
            ),
            ({}, {"hw_firmware_type": "uefi", "hw_machine_type": "q35"}, 1),
            (
                {"os:secure_boot": "required"},
                {"hw_firmware_type": "uefi", "hw_disk_bus": "sata"},
                1,
            ),
        ],
        ids=("devices", "pinned", "uefi", "secure-boot"),
    )  # fmt: skip
    def test_what_a_flavor_and_an_image_ask_for_starts(
        self, make_driver, extra_specs, properties, vcpus
    ):
        platform = dataclasses.replace(PLATFORM, dedicated_cpus=frozenset((0, 1)))
        driver = make_driver(platform=platform)
        driver.start(lambda _: None)
        assert driver.inventory().dedicated_cpus == 2
        instance = make_instance(
            flavor=msgspec.structs.replace(TINY, extra_specs=extra_specs, vcpus=vcpus),
            image=msgspec.structs.replace(IMAGE, properties=properties),
        )

        try:
            assert driver.build(instance) is PowerState.RUNNING
            assert driver.reboot(instance, hard=True) is PowerState.RUNNING
            is_pinned = extra_specs.get("hw:cpu_policy") == "dedicated"
            assert len(driver.place(instance.uuid).pins) == (vcpus if is_pinned else 0)
        finally:
            driver.destroy(instance)

    def test_a_guest_keeps_off_the_cpus_that_others_have_for_themselves(
        self, make_driver, libvirt_host
    ):
        platform = dataclasses.replace(
            PLATFORM, dedicated_cpus=frozenset((0,)), floating_cpus=frozenset((1,))
        )
        driver = make_driver(platform=platform)
        instance = make_instance(flavor=msgspec.structs.replace(TINY, vcpus=2))
        try:
            driver.build(instance)

            assert set(_cpus_of_threads(libvirt_host, instance)) == {"1"}
        finally:
            driver.destroy(instance)

    def test_memory_is_of_large_pages_where_that_is_asked_for(self, driver, large_pages):
        specs = {"hw:mem_page_size": "large"}
        instance = make_instance(flavor=msgspec.structs.replace(TINY, extra_specs=specs))
        try:
            driver.build(instance)

            assert large_pages() == TINY.memory_mib // 2
        finally:
            driver.destroy(instance)
        assert large_pages() == 0

    def test_memory_is_locked_where_that_is_asked_for(self, driver, libvirt_host):
        raised = subprocess.run(["prlimit", "--memlock=unlimited:unlimited", "true"], check=False)
        if raised.returncode != 0:
            pytest.skip("this machine lets nobody lock more memory")
        specs = {"hw:mem_page_size": "small", "hw:locked_memory": "true"}
        instance = make_instance(flavor=msgspec.structs.replace(TINY, extra_specs=specs))
        try:
            driver.build(instance)

            status = libvirt_host.run("cat", f"/proc/{_pid(libvirt_host, instance)}/status")
            [locked] = [line.split() for line in status.splitlines() if line.startswith("VmLck")]
            assert int(locked[1]) > 0
        finally:
            driver.destroy(instance)

    @pytest.fixture
    def large_pages(self):
        """The host has some pages of 2 MiB more; says how many are in use."""
        pages = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
        number = pages / "nr_hugepages"
        before = int(number.read_text())
        number.write_text(str(before + TINY.memory_mib))
        if int(number.read_text()) == before:
            pytest.skip("the machine has no large pages left")
        used = int(number.read_text()) - int((pages / "free_hugepages").read_text())
        yield lambda: int(number.read_text()) - int((pages / "free_hugepages").read_text()) - used
        number.write_text(str(before))

    @pytest.fixture
    def vif(self, libvirt_host):
        libvirt_host.add_bridge("br-test")
        yield make_vif()
        libvirt_host.remove_bridge("br-test")

    def test_an_attached_interface_joins_its_bridge_now_and_at_the_next_start(
        self, driver, libvirt_host, running, vif
    ):
        name = f"kilonova-{running.uuid}"
        driver.attach_interface(running, vif)

        ports = libvirt_host.run("ip", "-o", "link", "show", "master", "br-test")
        assert vif.device in ports
        assert vif.mac in libvirt_host.run("virsh", "domiflist", "--inactive", name)
        driver.power_off(running, grace_s=0)
        driver.detach_interface(running, vif)
        assert vif.mac not in libvirt_host.run("virsh", "domiflist", "--inactive", name)

    def test_a_guest_that_does_not_let_go_of_its_interface_keeps_it(
        self, make_driver, libvirt_host, running, vif
    ):
        driver = make_driver(unplug_timeout_s=1)
        driver.start(lambda _: None)
        driver.attach_interface(running, vif)

        with pytest.raises(HypervisorError, match=f"not let go of .* port {vif.port_id}"):
            driver.detach_interface(running, vif)

        name = f"kilonova-{running.uuid}"
        assert vif.mac in libvirt_host.run("virsh", "domiflist", name)
        assert vif.mac in libvirt_host.run("virsh", "domiflist", "--inactive", name)

    def test_a_bridge_that_is_missing_for_an_attached_interface_is_named(self, driver, running):
        with pytest.raises(HypervisorError, match="bridge br-none of port .* is not on this host"):
            driver.attach_interface(running, make_vif(bridge="br-none"))

    def test_a_guest_that_is_revived_waits_for_its_bridge(self, driver, libvirt_host, vif, caplog):
        caplog.set_level("DEBUG", "services.compute.vifs")
        instance = make_instance(vifs=(vif,))
        try:
            driver.build(instance)
            driver.power_off(instance, grace_s=0)
            libvirt_host.remove_bridge("br-test")
            with ThreadPoolExecutor(1) as threads:
                state = threads.submit(driver.revive, instance)
                # longer than others wait, here
                wait_until(lambda: caplog.text.count("br-test is not there yet") > 3)
                libvirt_host.add_bridge("br-test")

                assert state.result(60) is PowerState.RUNNING
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
            assert names == ["vda", "vdb", "vdc", "hdd"]
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


def _pid(host, instance):
    file = host.folder / "run" / "qemu" / f"kilonova-{instance.uuid}.pid"
    return file.read_text().strip()


def _cpus_of_threads(host, instance):
    """The CPUs of the host on which each thread of the guest may run, as ranges."""
    status = host.run("sh", "-c", f"cat /proc/{_pid(host, instance)}/task/*/status")
    return re.findall(r"Cpus_allowed_list:\s*(\S+)", status)

# SPDX-License-Identifier: Apache-2.0
"""Volumes of the libvirt driver on a real libvirtd: the drivers' contract, and libvirt's own."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from common.errors import HypervisorError, NotSupported
from common.states import PowerState
from services.compute.images import GIB
from services.compute.virt.libvirt.domain_xml.spec import Platform
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance
from tests.contracts.drivers.volume_contract import VolumeContract, with_disks
from tests.contracts.drivers.volumes import make_mapping
from tests.integration.compute.conftest import IMAGE_BYTES

pytestmark = pytest.mark.integration


def disks_of(libvirt_host, instance, *options):
    """The `<disk>` elements of the guest's definition."""
    text = libvirt_host.run("virsh", "dumpxml", *options, f"kilonova-{instance.uuid}")
    return ET.fromstring(text).findall("devices/disk")


def path_of(disk):
    source = disk.find("source")
    return source.get("file") if source is not None else None


class TestLibvirtVolumes(VolumeContract):
    @pytest.fixture
    def driver(self, make_driver, changes):
        driver = make_driver(unplug_timeout_s=10)
        driver.start(changes.append)
        return driver

    @pytest.fixture
    def boot_content(self):
        return IMAGE_BYTES

    @pytest.fixture
    def has(self, libvirt_host):
        """Both definitions, of now and of the next start, must have the same volumes."""

        def has(instance):
            found = {
                tuple(sorted(Path(path_of(d)).name for d in disks_of(libvirt_host, instance, *o)))
                for o in ([], ["--inactive"])
            }
            [names] = found
            return {name.removeprefix("volume-") for name in names if name.startswith("volume-")}

        return has

    @pytest.fixture
    def connected(self, libvirt_host):
        records = libvirt_host.folder / "guests" / "volumes"
        return lambda instance: {
            path.name.split(".")[0] for path in records.glob(f"*.{instance.uuid}.json")
        }

    def test_a_guest_that_does_not_let_go_keeps_its_volume(
        self, make_driver, running, volumes, has, connected
    ):
        impatient = make_driver(unplug_timeout_s=1)
        disk = volumes.make(disk_bus="virtio")  # which the tiny guest would have to agree to lose
        impatient.attach_volume(running, disk)

        with pytest.raises(HypervisorError, match=f"did not let go of volume {disk.volume_id}"):
            impatient.detach_volume(running, disk)

        assert has(running) == connected(running) == {disk.volume_id}

    @pytest.mark.parametrize("machine", ["pc", "q35"])
    @pytest.mark.parametrize("bus", ["virtio", "scsi", "usb"])
    def test_a_volume_comes_on_the_bus_that_it_is_told(
        self, driver, volumes, has, libvirt_host, machine, bus
    ):
        instance = guest_with(properties={"hw_machine_type": machine}, config_drive=True)
        disk = volumes.make(disk_bus=bus, device_name="/dev/vdc")
        try:
            driver.build(instance)
            driver.attach_volume(instance, disk)
            attached = target_of(libvirt_host, instance, disk)
            driver.reboot(with_disks(instance, disk), hard=True)

            assert target_of(libvirt_host, instance, disk) == attached
            assert attached == ("vdc" if bus == "virtio" else "sdc", bus)
        finally:
            driver.destroy(instance)

    def test_a_q35_guest_has_room_for_volumes(self, make_driver, volumes, has):
        driver = make_driver(platform=Platform(disk_cache="unsafe", pcie_ports=16))
        driver.start(lambda _: None)
        instance = guest_with(properties={"hw_machine_type": "q35"})
        disks = [volumes.make() for _ in range(8)]
        try:
            driver.build(instance)
            for disk in disks:
                driver.attach_volume(instance, disk)

            assert has(instance) == {disk.volume_id for disk in disks}
        finally:
            driver.destroy(instance)

    def test_a_suspended_guest_gets_and_loses_no_volume(self, driver, running, volumes, has):
        disk, other = volumes.make(), volumes.make()
        driver.attach_volume(running, disk)
        driver.suspend(running)

        with pytest.raises(HypervisorError, match="suspended"):
            driver.detach_volume(running, disk)
        with pytest.raises(HypervisorError, match="suspended"):
            driver.attach_volume(running, other)
        driver.resume(with_disks(running, disk))

        assert has(running) == {disk.volume_id}

    def test_a_resumed_guest_finds_its_volume_where_it_is_now(
        self, driver, running, volumes, libvirt_host
    ):
        disk = volumes.make()
        driver.attach_volume(running, disk)
        said = lambda: driver.console_output(running.uuid, tail_bytes=999)  # noqa: E731
        wait_until(lambda: "tiny guest is up" in said())
        driver.suspend(running)
        path = volumes.path_of(disk.volume_id)
        moved = path.rename(path.with_name("elsewhere"))
        connection = {"driver_volume_type": "local", "data": {"device_path": str(moved)}}
        disk = msgspec.structs.replace(disk, connection=connection)

        driver.resume(with_disks(running, disk))

        paths = [path_of(found) for found in disks_of(libvirt_host, running)]
        assert str(moved) in paths
        assert said().count("tiny guest is up") == 1

    def test_a_stopped_guest_has_its_volume_swapped(self, driver, running, volumes, has):
        old, new = volumes.make(content=b"data"), volumes.make()
        driver.attach_volume(running, old)
        driver.power_off(running, grace_s=0)

        assert driver.swap_volume(running, old, new) is PowerState.SHUTDOWN

        assert has(running) == {new.volume_id}
        assert volumes.path_of(new.volume_id).read_bytes()[:4] == b"data"

    def test_an_image_of_a_ceph_cluster_is_left_to_qemu(self, driver, running, libvirt_host):
        driver.power_off(running, grace_s=0)
        disk = make_mapping(connection={"driver_volume_type": "rbd", "data": RBD})

        driver.attach_volume(running, disk)

        [source] = [
            found.find("source")
            for found in disks_of(libvirt_host, running, "--inactive")
            if found.findtext("serial") == disk.volume_id
        ]
        assert (source.get("protocol"), source.get("name")) == ("rbd", RBD["name"])
        assert [(h.get("name"), h.get("port")) for h in source.findall("host")] == [
            ("192.0.2.1", "6789"), ("2001:db8::1", "3300"),
        ]  # fmt: skip
        driver.detach_volume(running, disk)

    def test_limits_of_a_volume_hold(self, driver, running, volumes, libvirt_host):
        disk = volumes.make()
        data = disk.connection["data"] | {"qos_specs": {"total_iops_sec": "300"}}
        disk = msgspec.structs.replace(
            disk, connection={"driver_volume_type": "local", "data": data}
        )

        driver.attach_volume(running, disk)

        name, _ = target_of(libvirt_host, running, disk)
        shown = libvirt_host.run("virsh", "blkdeviotune", f"kilonova-{running.uuid}", name)
        assert "total_iops_sec : 300" in shown

    def test_further_disks_of_several_sizes_are_beside_volumes(self, driver, volumes, libvirt_host):
        blank = {"source": "blank", "destination": "local", "boot_index": None}
        instance = with_disks(
            guest_with(flavor=msgspec.structs.replace(TINY, ephemeral_gib=3, swap_mib=16)),
            make_mapping(**blank, volume_id=None, size_gib=1, guest_format="ext3"),
            make_mapping(**blank, volume_id=None, size_gib=2, device_name="/dev/vdd"),
            volumes.make(device_name="/dev/vdb"),
        )
        try:
            driver.build(instance)

            folder = libvirt_host.folder / "guests" / "instances" / instance.uuid
            sizes = [(folder / f"disk.eph{number}").stat().st_size for number in range(2)]
            assert sizes == [GIB, 2 * GIB]
            label = ["blkid", "-o", "value", "-s", "TYPE", folder / "disk.eph0"]
            assert subprocess.check_output(label, text=True).strip() == "ext3"
            names = [d.find("target").get("dev") for d in disks_of(libvirt_host, instance)]
            assert sorted(names) == ["vda", "vdb", "vdc", "vdd", "vde"]
        finally:
            driver.destroy(instance)

    def test_a_guest_without_an_agent_is_not_quiet(self, driver, running, volumes):
        demanding = msgspec.structs.replace(
            running,
            image=msgspec.structs.replace(IMAGE, properties={"os_require_quiesce": "yes"}),
        )

        assert driver.quiesce(running) is False
        with pytest.raises(NotSupported, match="No QEMU guest agent answers"):
            driver.quiesce(demanding)
        disk = volumes.make()
        driver.attach_volume(demanding, disk)
        with pytest.raises(NotSupported, match="No QEMU guest agent answers"):
            driver.snapshot_volume(demanding, disk, "snap")
        assert not volumes.path_of(disk.volume_id).with_name("snap").exists()

    @pytest.mark.parametrize("name", ["../snap", "/etc/snap", "", ".", "a/../b"])
    def test_a_snapshot_stays_beside_its_volume(self, driver, running, volumes, name):
        disk = volumes.make()
        driver.attach_volume(running, disk)

        with pytest.raises(HypervisorError, match="is no file beside the volume's own"):
            driver.snapshot_volume(running, disk, name)

    def test_a_merge_of_files_that_are_not_there_is_refused(self, driver, running, volumes):
        disk = volumes.make()
        driver.attach_volume(running, disk)

        with pytest.raises(HypervisorError, match="does not stand on"):
            driver.merge_volume_snapshot(
                running, disk, {"file_to_merge": "a", "merge_target_file": "b"}
            )

    def test_what_lies_between_is_brought_up_into_the_newest_file(
        self, driver, running, volumes, libvirt_host
    ):
        disk = volumes.make(content=b"data")
        name = volumes.path_of(disk.volume_id).name
        driver.attach_volume(running, disk)
        for snapshot in ("one", "two"):
            driver.snapshot_volume(running, disk, f"{name}.{snapshot}")

        for _ in range(2):
            driver.merge_volume_snapshot(running, disk, {"file_to_merge": name})

        [found] = [
            d for d in disks_of(libvirt_host, running) if d.findtext("serial") == disk.volume_id
        ]
        chain = [Path(s.get("file")).name for s in found.iter("source")]
        assert chain == [f"{name}.two", name]


RBD = {
    "name": "volumes/volume-1",
    "hosts": ["192.0.2.1", "[2001:db8::1]"],
    "ports": ["6789", "3300"],
    "auth_enabled": True,
    "auth_username": "cinder",
    "secret_uuid": "457eb676-33da-42ec-9a8c-9293d545c337",
}


def guest_with(*, properties=None, **values):
    """An instance of the tiny image, whose properties ask for something."""
    image = msgspec.structs.replace(IMAGE, properties=properties or {})
    return make_instance(image=image, **values)


def target_of(libvirt_host, instance, disk):
    """Name and bus under which the guest sees a volume."""
    [target] = [
        found.find("target")
        for found in disks_of(libvirt_host, instance)
        if found.findtext("serial") == disk.volume_id
    ]
    return target.get("dev"), target.get("bus")

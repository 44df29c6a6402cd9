# SPDX-License-Identifier: Apache-2.0
"""Volumes that are block devices of the host; loop devices stand for those that storage brings."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from os_brick import privileged

from common.states import PowerState
from services.compute.brick import Brick, BrickSettings
from services.compute.images import GIB
from services.compute.volumes import Volumes
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.volume_contract import with_disks
from tests.contracts.drivers.volumes import make_mapping
from tests.integration.compute.conftest import IMAGE_BYTES

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs loop devices"),
]
INSTANCE = "11111111-1111-4111-8111-111111111111"


class Device:
    """A loop device and its file."""

    def __init__(self, folder, content=b""):
        self.file = folder / "device.img"
        with self.file.open("wb") as file:
            file.write(content)
            file.truncate(GIB)
        command = ["losetup", "--find", "--show", self.file]
        self.path = subprocess.check_output(command, text=True).strip()

    def grow(self, size_bytes):
        os.truncate(self.file, size_bytes)
        subprocess.run(["losetup", "--set-capacity", self.path], check=True)

    def mapping(self, **values):
        connection = {"driver_volume_type": "local", "data": {"device_path": self.path}}
        return make_mapping(connection=connection, **values)

    def remove(self):
        subprocess.run(["losetup", "--detach", self.path], check=True)


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path, IMAGE_BYTES)
    yield device
    device.remove()


@pytest.fixture
def driver(make_driver):
    driver = make_driver()
    driver.start(lambda _: None)
    return driver


def test_a_guest_boots_from_a_device_and_sees_it_grow(driver, device, libvirt_host):
    root = device.mapping(boot_index=0, device_name="/dev/vda")
    instance = with_disks(make_instance(image=None), root)
    name = f"kilonova-{instance.uuid}"
    try:
        assert driver.build(instance) is PowerState.RUNNING
        disk = ET.fromstring(libvirt_host.run("virsh", "dumpxml", name)).find("devices/disk")
        assert (disk.get("type"), disk.find("source").get("dev")) == ("block", device.path)
        assert disk.find("driver").get("cache") == "none"

        device.grow(2 * GIB)
        driver.extend_volume(instance, msgspec.structs.replace(root, size_gib=2))

        shown = libvirt_host.run("virsh", "domblkinfo", name, "vda")
        assert f"Capacity:       {2 * GIB}" in shown
    finally:
        driver.destroy(instance)


def test_what_needs_root_is_done_by_the_helper_where_there_is_one(tmp_path, device):
    helper = Path(sys.prefix, "bin", "privsep-helper")
    log = tmp_path / "helped"
    command = tmp_path / "helper"
    command.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {helper} "$@"\n')
    command.chmod(0o755)
    settings = {
        "host": "here",
        "host_ip": "127.0.0.1",
        "lock_path": tmp_path / "locks",
        "mount_path": tmp_path / "mnt",
    }
    disk = device.mapping(size_gib=1)
    try:
        volumes = Volumes(
            tmp_path / "records",
            Brick(BrickSettings(**settings, privileged_helper=str(command))),
        )
        volumes.connect(INSTANCE, disk)
        device.grow(3 * GIB)

        assert volumes.extend(INSTANCE, msgspec.structs.replace(disk, size_gib=3)) == 3 * GIB
        assert "os_brick.privileged.default" in log.read_text()
        volumes.disconnect(INSTANCE, disk.volume_id)
    finally:
        privileged.default.stop()
        Brick(BrickSettings(**settings))  # for tests after this one

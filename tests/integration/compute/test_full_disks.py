# SPDX-License-Identifier: Apache-2.0
"""A host whose disk is full says so, in words and numbers, and is left as it was."""

import contextlib
import os
import queue
import re
import subprocess

import msgspec
import pytest

from common.context import RequestContext
from common.errors import DiskFull
from common.space import free_bytes
from common.states import PowerState
from services.compute.finished import FinishedOnDisk
from services.compute.images import GIB, ImageCache
from services.compute.lanes import Lanes
from services.compute.operations import Operations, Request
from services.compute.virt.libvirt.disk_files import copy_onto
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import LibvirtDriver
from services.compute.virt.libvirt.settings import Settings
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance
from tests.contracts.drivers.volumes import make_mapping
from tests.integration.compute.conftest import IMAGE_BYTES
from tests.integration.compute.volumes import make_volumes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system"),
]
# It cannot be made small: no part of it is zeros.
DENSE = IMAGE_BYTES[:512] + os.urandom(3 << 20)


# A guest that writes to its disk without end, 32 KiB after 32 KiB, by its BIOS.
# fmt: off
_WRITES = bytes((
    0x31, 0xC0, 0x8E, 0xD8,              # ds = 0
    0xBE, 0x30, 0x7C,                    # si = the packet below
    0xB4, 0x43, 0x30, 0xC0, 0xB2, 0x80,  # write extended, without verifying, the first disk
    0xCD, 0x13,
    0x83, 0x06, 0x38, 0x7C, 0x40,        # 64 sectors on
    0xEB, 0xEE,                          # once more, with si
))
_PACKET = bytes((
    16, 0, 64, 0,                        # 64 sectors
    0, 0, 0, 0xF0,                       # from F000:0000, the BIOS
    64, 0, 0, 0, 0, 0, 0, 0,             # after the first 32 KiB
))
# fmt: on
_BUSY = (_WRITES.ljust(0x30, b"\0") + _PACKET).ljust(510, b"\0") + b"\x55\xaa"


class Busy:
    """An image service whose image writes all the time."""

    def download(self, image_id):
        yield _BUSY.ljust(1 << 20, b"\0")


class Dense:
    """An image service whose image fills what it is written to."""

    def download(self, image_id):
        yield DENSE


@pytest.fixture
def small(libvirt_host):
    """A file system of 2 MiB, which guests can be started from."""
    folder = libvirt_host.folder / "small"
    folder.mkdir(exist_ok=True)
    image = libvirt_host.folder / "small.img"
    with image.open("wb") as file:
        file.truncate(2 << 20)
    make = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", "256", image]
    subprocess.run(make, check=True)
    loop = subprocess.check_output(["losetup", "--find", "--show", image], text=True).strip()
    try:
        # In the host's mount namespace as well as in ours: QEMU runs there.
        subprocess.run(["mount", loop, folder], check=True)
        libvirt_host.run("mount", loop, str(folder))
        yield folder
    finally:
        libvirt_host.run("umount", str(folder))
        subprocess.run(["umount", folder], check=True)
        subprocess.run(["losetup", "--detach", loop], check=True)
        image.unlink()


@pytest.fixture
def make_driver_on(libvirt_host, small):
    made = []

    def make(source=None, **settings):
        state = libvirt_host.folder / "guests"
        source = source or Dense()
        folder = state / f"images-{type(source).__name__}"  # all of them are of one id
        images = ImageCache(folder, source, most_bytes=GIB)
        settings = Settings(
            host=libvirt_host.name,
            connection_uri=libvirt_host.uri,
            state_folder=state,
            instances=small / "instances",
            virt_type="qemu",
            platform=Platform(disk_cache="unsafe"),
            **settings,
        )
        driver = LibvirtDriver(settings, images, make_volumes(state, libvirt_host.name))
        driver.start(lambda _: None)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.stop()


@pytest.mark.parametrize(
    ("settings", "values", "needs"),
    [
        ({"disk_format": "raw"}, {}, 4),
        ({"preallocate_disks": True}, {}, 1024),
        ({"preallocate_disks": True, "disk_format": "raw"}, {}, None),
        ({}, {"flavor": msgspec.structs.replace(TINY, ephemeral_gib=400)}, None),
    ],
    ids=["copied", "preallocated", "preallocated-copy", "ephemeral"],
)
def test_a_server_that_does_not_fit_is_told_so(make_driver_on, small, settings, values, needs):
    driver, instance = make_driver_on(**settings), make_instance(**values)

    with pytest.raises(DiskFull) as refused:
        driver.build(instance)

    said = re.fullmatch(
        r"No space left on the host for the instance's disks: (\d) MiB free, (\d+) MiB needed.",
        str(refused.value),
    )
    assert said
    assert needs in (None, int(said[2]))
    driver.destroy(instance)
    assert list((small / "instances").iterdir()) == []


def fill(folder, *, but_bytes=0):
    """Leave that much room."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while free_bytes(folder) > but_bytes:
            file.write(b"x" * 1024)


def test_a_disk_that_has_filled_up_takes_no_server_at_all(make_driver_on, small):
    driver, instance = make_driver_on(), make_instance(config_drive=True)
    fill(small)

    with pytest.raises(DiskFull, match=r"0 MiB free"):
        driver.build(instance)

    driver.destroy(instance)
    assert list((small / "instances").iterdir()) == []
    (small / "filler").unlink()
    assert driver.build(instance) is PowerState.RUNNING
    driver.destroy(instance)


def test_a_snapshot_without_room_leaves_the_guest_as_it_was(make_driver_on, small):
    driver, instance = make_driver_on(), make_instance()
    driver.build(instance)
    try:
        fill(small, but_bytes=200 << 10)

        with pytest.raises(DiskFull):
            driver.snapshot(instance, "an-image")
        driver.discard_snapshot("an-image")

        assert driver.power_state(instance.uuid) is PowerState.RUNNING
        assert [p.name for p in (small / "instances").iterdir()] == [instance.uuid]
    finally:
        driver.destroy(instance)


def test_a_guest_that_fills_the_disk_stands_still_until_there_is_room(
    make_driver_on, small, libvirt_host, caplog
):
    fill(small, but_bytes=1 << 20)
    driver, instance = make_driver_on(Busy()), make_instance()
    name = f"kilonova-{instance.uuid}"
    try:
        driver.build(instance)
        wait_until(lambda: driver.power_state(instance.uuid) is PowerState.PAUSED)
        wait_until(lambda: f"{instance.uuid} stands still, the host's disk is full" in caplog.text)

        (small / "filler").unlink()
        written = written_by(libvirt_host, name)
        driver.unpause(instance)
        wait_until(lambda: written_by(libvirt_host, name) > written)
    finally:
        driver.destroy(instance)
    assert [p.name for p in (small / "instances").iterdir()] == []


def written_by(libvirt_host, name):
    stats = libvirt_host.run("virsh", "domblkstat", name, "vda")
    return int(re.search(r"wr_bytes (\d+)", stats)[1])


def test_a_full_disk_is_called_so_when_a_disk_is_copied_onto_it(small, tmp_path):
    source, target = tmp_path / "source", small / "target"
    source.write_bytes(DENSE)
    with target.open("wb") as file:
        file.truncate(len(DENSE))

    with pytest.raises(DiskFull, match="the disk's copy: . MiB free, 4 MiB needed"):
        copy_onto(str(source), "raw", str(target), "raw", lambda: None)


def test_a_volume_without_room_for_its_record_is_not_connected(small):
    volumes = make_volumes(small, "here")
    disk = make_mapping(connection={"driver_volume_type": "local", "data": {"device_path": "x"}})
    fill(small)

    with pytest.raises(DiskFull, match=f"the record of volume {disk.volume_id}"):
        volumes.connect(make_instance().uuid, disk)


def test_what_a_host_did_is_reported_though_its_disk_is_full(small):
    finished, reports, lanes = FinishedOnDisk(small / "finished"), queue.Queue(), Lanes(threads=1)
    operations = Operations(lanes, finished, reports.put)
    fill(small)

    for _ in range(2):
        request = Request("an-operation", "here", "an-instance", "build")
        operations.start(RequestContext(request_id="req-1"), request, lambda _: {"n": 1})
        assert reports.get(timeout=10).result == {"n": 1}

    assert list((small / "finished").iterdir()) == []
    lanes.close()


@pytest.mark.parametrize("left_bytes", [0, 300 << 10])
def test_a_guest_for_whose_rescue_there_is_no_room_runs_on(
    make_driver_on, small, libvirt_host, left_bytes
):
    driver, instance = make_driver_on(), make_instance()
    wanting = msgspec.structs.replace(instance, config_drive=True)
    name = f"kilonova-{instance.uuid}"
    driver.build(instance)
    try:
        ran_as = libvirt_host.run("virsh", "domid", name)
        files = sorted((small / "instances" / instance.uuid).iterdir())
        fill(small, but_bytes=left_bytes)

        with pytest.raises(DiskFull):
            driver.rescue(wanting, IMAGE)

        assert sorted((small / "instances" / instance.uuid).iterdir()) == files
        assert driver.unrescue(instance) is PowerState.RUNNING
        assert libvirt_host.run("virsh", "domid", name) == ran_as
    finally:
        driver.destroy(instance)


def test_a_config_drive_without_room_is_named(make_driver_on, small):
    driver, instance = make_driver_on(), make_instance(config_drive=True)
    fill(small, but_bytes=300 << 10)

    with pytest.raises(DiskFull, match="config drive|disks"):
        driver.build(instance)
    driver.destroy(instance)


def test_an_image_that_does_not_fit_is_not_begun(libvirt_host, small):
    cache = ImageCache(small / "images", Dense(), most_bytes=GIB)
    told = msgspec.structs.replace(IMAGE, size=len(DENSE))

    for image in (told, IMAGE):  # its size is known beforehand, or found out on the way
        with pytest.raises(DiskFull, match=f"image {IMAGE.id}"):
            cache.fetch(image, disk_gib=0, checkpoint=lambda: None)
        assert list((small / "images").iterdir()) == []


def test_an_image_that_fits_until_it_is_converted_is_not_kept(small, tmp_path):
    raw, packed = tmp_path / "raw", tmp_path / "packed"
    raw.write_bytes(b"kilonova" * (4 << 17))
    options = ("-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run(["qemu-img", "convert", *options, raw, packed], check=True)
    assert packed.stat().st_size < 1 << 20

    class Packed:
        def download(self, image_id):
            yield packed.read_bytes()

    cache = ImageCache(small / "images", Packed(), most_bytes=GIB)
    image = msgspec.structs.replace(IMAGE, disk_format="vmdk")

    with pytest.raises(DiskFull, match=f"image {IMAGE.id}"):
        cache.fetch(image, disk_gib=1, checkpoint=lambda: None)
    assert list((small / "images").iterdir()) == []


def test_a_guest_whose_memory_does_not_fit_goes_on(make_driver_on, small, libvirt_host):
    driver, instance = make_driver_on(), make_instance()
    saves = "/var/lib/libvirt/qemu/save"  # of the private libvirtd
    driver.build(instance)
    fill(small, but_bytes=100 << 10)
    libvirt_host.run("mount", "--bind", str(small), saves)
    try:
        with pytest.raises(DiskFull, match="the guest's memory"):
            driver.suspend(instance)

        assert driver.power_state(instance.uuid) is PowerState.RUNNING
    finally:
        libvirt_host.run("umount", saves)
        driver.destroy(instance)


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
def test_a_preallocated_disk_has_its_room_from_the_start(make_driver, libvirt_host, disk_format):
    driver = make_driver(preallocate_disks=True, disk_format=disk_format)
    driver.start(lambda _: None)
    flavor = msgspec.structs.replace(TINY, swap_mib=16)
    instance = make_instance(flavor=flavor)
    folder = libvirt_host.folder / "guests" / "instances" / instance.uuid
    try:
        assert driver.build(instance) is PowerState.RUNNING

        taken = {name: (folder / name).stat().st_blocks * 512 for name in ("disk", "disk.swap")}
        assert taken["disk"] >= GIB
        assert taken["disk.swap"] >= 16 << 20
    finally:
        driver.destroy(instance)

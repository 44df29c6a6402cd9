# SPDX-License-Identifier: Apache-2.0
"""Volumes as Linux guests see them: what one writes, another reads."""

import hashlib

import msgspec
import pytest

from common.errors import HypervisorError, VolumeUnreachable
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.states import PowerState
from services.compute.images import GIB
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.volume_contract import with_disks
from tests.contracts.drivers.volumes import VolumeFolder
from tests.integration import leaks, real_guest
from tests.integration.real_guest import RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(real_guest.missing), reason=f"needs {', '.join(real_guest.missing)}"),
]
NANO = Flavor(flavorid="9", name="nano", vcpus=1, memory_mib=128, root_gib=1)
LINUX = ImageMeta(id="0f3fcf3e-6a68-4c9f-9b02-6a1d5a3f5a11", name="linux", disk_format="qcow2")
RESCUE = ImageMeta(
    id="7c8f2b30-2d6d-4a3c-8a0e-0b8f4a7d9c22",
    name="rescue",
    disk_format="raw",
    properties={"hw_rescue_device": "disk", "hw_rescue_bus": "scsi"},
)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Images by id: Linux, and one that takes the disk that it is rescued from as its root."""
    folder = tmp_path_factory.mktemp("images")
    rescue = real_guest.raw_disk(folder / "rescue.raw", root="/dev/sda2")
    return {LINUX.id: real_guest.image(), RESCUE.id: rescue}


@pytest.fixture
def source(images):
    class Images:
        def download(self, image_id):
            with images[image_id].open("rb") as file:
                while chunk := file.read(1 << 20):
                    yield chunk

    return Images()


@pytest.fixture
def driver(make_driver):
    driver = make_driver(unplug_timeout_s=30)
    driver.start(lambda _: None)
    return driver


@pytest.fixture
def volumes(tmp_path):
    return VolumeFolder(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_is_left(libvirt_host):
    """Whatever a test does: when its guests are destroyed, the host is what it was."""
    guests = libvirt_host.folder / "guests"
    folders = [guests / "instances", guests / "volumes", guests / "mnt"]
    before = leaks.traces([libvirt_host], folders)
    yield
    assert leaks.left(before, leaks.traces([libvirt_host], folders)) == {}


@pytest.fixture
def boot(driver, libvirt_host, _nothing_is_left):
    """Boots instances, and waits until they are ready; they are gone after the test."""
    made = []

    def boot(*disks, **values):
        instance = with_disks(make_instance(flavor=NANO, **{"image": LINUX, **values}), *disks)
        made.append(instance)
        driver.build(instance)
        guest = RealGuest(libvirt_host, driver, instance)
        guest.wait_ready()
        return instance, guest

    yield boot
    for instance in made:
        driver.destroy(instance)


@pytest.fixture
def bootable(volumes):
    """A volume that Linux boots from."""
    disk = volumes.make(boot_index=0, device_name="/dev/vda")
    path = volumes.path_of(disk.volume_id)
    real_guest.raw_disk(path)
    with path.open("r+b") as file:
        file.truncate(GIB)
    return disk


def seen_serial(disk):
    """A volume's id as virtio shows it."""
    return disk.volume_id[:20]


def test_what_is_written_to_a_volume_that_was_booted_from_is_there_at_the_next_boot(
    driver, boot, bootable
):
    first, guest = boot(bootable, image=None)
    assert guest.disks()["vda"] == (GIB, seen_serial(bootable))
    assert "GUEST boot=1 " in guest.console()
    guest.sh("echo kept > /etc/kept; sync")

    driver.destroy(first)
    _, again = boot(bootable, image=None)

    assert again.sh("cat /etc/kept") == "kept"
    assert "GUEST boot=2 " in again.console()


def test_a_volume_takes_what_one_guest_wrote_to_another(driver, boot, volumes):
    disk = volumes.make(device_name="/dev/vdb")
    one, writer = boot()
    two, reader = boot()

    driver.attach_volume(one, disk)
    writer.wait_until(lambda: "vdb" in writer.disks())
    assert writer.disks()["vdb"] == (GIB, seen_serial(disk))
    written = writer.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=3; sync; "
                        "head -c 3145728 /dev/vdb | md5sum")  # fmt: skip
    driver.detach_volume(one, disk)
    writer.wait_until(lambda: "vdb" not in writer.disks())
    driver.attach_volume(two, disk)
    reader.wait_until(lambda: "vdb" in reader.disks())

    assert reader.sh("head -c 3145728 /dev/vdb | md5sum") == written


def test_a_volume_grows_under_a_guest_that_uses_it(driver, boot, volumes):
    disk = volumes.make(device_name="/dev/vdb")
    instance, guest = boot(disk)
    guest.sh("mkdir -p /mnt/v; mke2fs -F /dev/vdb > /dev/null; mount -t ext2 /dev/vdb /mnt/v; "
             "echo here > /mnt/v/file; sync")  # fmt: skip

    with volumes.path_of(disk.volume_id).open("r+b") as file:
        file.truncate(2 * GIB)  # as the volume service does
    driver.extend_volume(instance, msgspec.structs.replace(disk, size_gib=2))

    guest.wait_until(lambda: guest.disks()["vdb"][0] == 2 * GIB)
    assert guest.sh("cat /mnt/v/file") == "here"


@pytest.mark.parametrize("new_gib", [1, 2])
def test_a_volume_is_swapped_under_a_guest_that_writes(driver, boot, volumes, new_gib):
    old, new = volumes.make(device_name="/dev/vdb"), volumes.make(size_gib=new_gib)
    instance, guest = boot(old)
    guest.sh("dd if=/dev/urandom of=/dev/vdb bs=1M count=4; sync")
    before = guest.sh("head -c 4194304 /dev/vdb | md5sum")

    driver.swap_volume(instance, old, new)
    kept = hashlib.md5(volumes.path_of(old.volume_id).read_bytes()[: 8 << 20]).hexdigest()
    guest.sh("echo after | dd of=/dev/vdb bs=512 seek=8192 conv=fsync")

    assert guest.sh("head -c 4194304 /dev/vdb | md5sum") == before
    content = volumes.path_of(new.volume_id).read_bytes()[: 8 << 20]
    assert hashlib.md5(content[: 4 << 20]).hexdigest() == before.split()[0]
    assert content[4 << 20 :].startswith(b"after\n")
    still = hashlib.md5(volumes.path_of(old.volume_id).read_bytes()[: 8 << 20]).hexdigest()
    assert still == kept
    # Its next start shows all of it.
    driver.reboot(with_disks(make_like(instance), replaced(old, new)), hard=True)
    guest.wait_ready(boots=2)
    assert guest.disks()["vdb"] == (new_gib * GIB, seen_serial(new))


def make_like(instance):
    """The instance without its volumes."""
    return msgspec.structs.replace(instance, block_devices=())


def replaced(old, new):
    """The mapping after a swap: the other volume, under the same name."""
    return msgspec.structs.replace(new, device_name=old.device_name)


def test_a_server_that_boots_from_a_volume_is_rescued_with_its_disks_as_they_were(
    driver, boot, bootable, volumes
):
    data = volumes.make(device_name="/dev/vdb")
    instance, guest = boot(bootable, data, image=None)

    driver.rescue(instance, RESCUE)
    guest.wait_ready(boots=2)

    assert guest.sh("awk '$2==\"/\" {print $1}' /proc/mounts") == "/dev/sda2"
    disks = guest.disks()
    assert (disks["vda"][1], disks["vdb"][1]) == (seen_serial(bootable), seen_serial(data))
    guest.sh("mkdir -p /mnt/r; mount -t ext4 /dev/vda2 /mnt/r; echo mended > /mnt/r/etc/mended; "
             "umount /mnt/r")  # fmt: skip
    driver.unrescue(instance)
    guest.wait_ready(boots=3)
    assert guest.sh("cat /etc/mended") == "mended"
    assert "sda" not in guest.disks()


def test_a_volume_that_vanished_is_named_and_a_start_leaves_nothing_half_done(
    driver, boot, volumes
):
    disk = volumes.make(device_name="/dev/vdb")
    instance, guest = boot(disk)
    driver.power_off(instance, grace_s=0)
    path = volumes.path_of(disk.volume_id)
    hidden = path.rename(path.with_suffix(".hidden"))

    with pytest.raises(VolumeUnreachable, match=f"{disk.volume_id} .* nothing at {path}"):
        driver.power_on(instance)

    assert driver.power_state(instance.uuid) is PowerState.SHUTDOWN
    hidden.rename(path)
    driver.power_on(instance)
    guest.wait_ready(boots=2)
    assert guest.disks()["vdb"][1] == seen_serial(disk)


def test_a_volume_that_is_not_there_cannot_be_attached(driver, boot, volumes, libvirt_host):
    disk = volumes.make()
    volumes.path_of(disk.volume_id).unlink()
    instance, guest = boot()
    before = guest.disks()

    with pytest.raises(VolumeUnreachable, match="there is nothing at"):
        driver.attach_volume(instance, disk)

    assert guest.disks() == before
    assert list((libvirt_host.folder / "guests" / "volumes").glob("*")) == []


def test_a_guest_that_is_frozen_writes_nothing_until_it_may(driver, make_driver, boot):
    instance, guest = boot()

    assert driver.quiesce(instance)
    assert driver.quiesce(instance)
    driver.unquiesce(instance)
    driver.unquiesce(instance)

    guest.sh("echo on > /etc/on; sync")
    assert driver.quiesce(instance)
    make_driver().start(lambda _: None)  # as after a daemon that was killed meanwhile

    guest.sh("echo on > /etc/on; sync")


def test_a_snapshot_keeps_what_was_and_merging_it_keeps_what_is(driver, boot, volumes):
    disk = volumes.make(device_name="/dev/vdb")
    name = volumes.path_of(disk.volume_id).name
    instance, guest = boot(disk)
    guest.sh("echo before | dd of=/dev/vdb conv=fsync")

    driver.snapshot_volume(instance, disk, f"{name}.one")
    guest.sh("echo after_ | dd of=/dev/vdb conv=fsync")
    driver.snapshot_volume(instance, disk, f"{name}.two")

    base = volumes.path_of(disk.volume_id)
    with base.open("rb") as file:
        assert file.read(7) == b"before\n"
    driver.merge_volume_snapshot(
        instance, disk, {"file_to_merge": f"{name}.one", "merge_target_file": name}
    )
    with base.open("rb") as file:
        assert file.read(7) == b"after_\n"
    assert guest.sh("head -c 6 /dev/vdb") == "after_"
    # The guest goes on with the newest file though the volume service names the first.
    driver.reboot(instance, hard=True)
    guest.wait_ready(boots=2)
    guest.sh("echo latest | dd of=/dev/vdb conv=fsync")
    with base.open("rb") as file:
        assert file.read(7) == b"after_\n"
    driver.merge_volume_snapshot(
        instance, disk, {"file_to_merge": f"{name}.two", "merge_target_file": name}
    )
    with base.open("rb") as file:
        assert file.read(7) == b"latest\n"


def test_two_guests_have_a_volume_that_may_be_shared(driver, boot, volumes):
    disk = volumes.make(device_name="/dev/vdb", multiattach=True)
    one, writer = boot(disk)
    two, reader = boot(disk)

    writer.sh("echo shared | dd of=/dev/vdb conv=fsync")
    assert reader.sh("dd if=/dev/vdb bs=6 count=1 iflag=direct 2>/dev/null || "
                     "head -c 6 /dev/vdb") == "shared"  # fmt: skip
    driver.detach_volume(one, disk)

    assert reader.disks()["vdb"][1] == seen_serial(disk)
    driver.detach_volume(two, disk)


def test_a_volume_that_another_guest_writes_to_is_not_shared_by_mistake(driver, boot, volumes):
    disk = volumes.make(device_name="/dev/vdb")
    boot(disk)
    two, guest = boot()

    with pytest.raises(HypervisorError, match="lock"):
        driver.attach_volume(two, disk)

    assert "vdb" not in guest.disks()
    assert driver.power_state(two.uuid) is PowerState.RUNNING

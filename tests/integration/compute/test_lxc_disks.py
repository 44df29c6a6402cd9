# SPDX-License-Identifier: Apache-2.0
"""Disks of containers on a real libvirtd: images that they come from, and are made into."""

import shutil

import msgspec
import pytest

pytest.importorskip("libvirt")

from common.errors import HypervisorError, ImageUnacceptable
from common.states import PowerState
from tests.contracts.drivers.instances import TINY, make_instance
from tests.integration.compute import containers
from tests.integration.compute.container_host import *  # noqa: F403
from tests.integration.compute.container_host import said, wait_for

pytestmark = pytest.mark.integration


BIGGER = msgspec.structs.replace(TINY, flavorid="2", name="bigger", root_gib=2, memory_mib=64)


@pytest.mark.parametrize("shape", ["qcow2", "partitioned"])
def test_an_image_may_have_another_format_or_partitions(
    driver, build, new_image, image_file, tmp_path, shape
):
    make = containers.as_qcow2 if shape == "qcow2" else containers.partitioned
    image = new_image(make(image_file, tmp_path / "disk"), "qcow2" if shape == "qcow2" else "raw")

    instance = build(image=image)

    wait_for(driver, instance, "idle\n")


def test_a_disk_is_as_large_as_its_image_where_the_flavor_leaves_it_so(driver, build):
    instance = build(flavor=msgspec.structs.replace(TINY, root_gib=0))

    wait_for(driver, instance, "idle\n")
    assert int(said(driver, instance).split("size ")[1].split()[0]) < 16


def test_flavor_and_image_bring_their_further_file_systems(driver, build):
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1, swap_mib=16)

    instance = build(flavor=flavor, config_drive=True, admin_password="a secret")

    wait_for(driver, instance, "idle\n")
    assert "has config\n" in said(driver, instance)
    assert int(said(driver, instance).split("ephemeral ")[1].split()[0]) > 900


def test_a_snapshot_boots_with_what_the_container_had_written(driver, build, inside, new_image):
    instance = build()
    wait_for(driver, instance, "idle\n")
    inside(instance, "sh", "-c", "echo 'echo I remember' > /then; chmod 755 /then")

    driver.snapshot(instance, "an-image")

    inside(instance, "rm", "/then")
    other = build(image=new_image(driver.snapshot_path("an-image"), "qcow2"))
    wait_for(driver, other, "I remember\n")
    driver.discard_snapshot("an-image")


def test_a_paused_container_stays_so_over_its_snapshot(driver, build):
    instance = build()
    driver.pause(instance)

    state = driver.snapshot(msgspec.structs.replace(instance, vm_state="paused"), "an-image")

    assert state is PowerState.PAUSED
    driver.discard_snapshot("an-image")
    driver.pause(instance)  # as a killed daemon leaves one
    assert driver.snapshot(instance, "an-image") is PowerState.RUNNING
    driver.discard_snapshot("an-image")


def test_a_rebuilt_container_has_a_fresh_disk(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    driver.rebuild(instance)

    wait_for(driver, instance, "idle\n")
    assert "boot \n" in said(driver, instance)


def test_a_container_grows_where_it_is_and_shrinks_back(driver, build, libvirt_host):
    name = libvirt_host.name
    instance = build(host=name)
    wait_for(driver, instance, "idle\n")
    bigger = msgspec.structs.replace(instance, flavor=BIGGER)

    driver.set_aside(instance, grace_s=10)
    driver.receive(bigger, from_host=name, start=True)
    wait_for(driver, bigger, "idle\n")
    assert int(said(driver, bigger).split("size ")[-1].split()[0]) > 1900
    assert driver.take_back(instance, start=True) is PowerState.RUNNING
    wait_for(driver, instance, "idle\n", times=2)
    assert int(said(driver, instance).split("size ")[-1].split()[0]) <= 1024

    driver.set_aside(instance, grace_s=10)
    driver.receive(bigger, from_host=name, start=False)
    driver.forget_aside(instance)
    assert driver.power_state(instance.uuid) is PowerState.SHUTDOWN


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bytes(1 << 20), "needs a root file system"),
        (bytes(510) + b"\x55\xaa" + bytes(1 << 20), "needs a root file system"),
    ],
    ids=("nothing", "no-partition"),
)
def test_an_image_without_a_file_system_is_refused(driver, new_image, tmp_path, content, reason):
    path = tmp_path / "image"
    path.write_bytes(content)
    instance = make_instance(image=new_image(path))

    with pytest.raises(ImageUnacceptable, match=reason):
        driver.build(instance)

    driver.destroy(instance)


def test_a_damaged_file_system_is_refused_in_words(driver, new_image, image_file, tmp_path):
    path = tmp_path / "image"
    content = bytearray(image_file.read_bytes())
    content[4096:262144] = bytes(range(256)) * 1008
    path.write_bytes(content)
    instance = make_instance(image=new_image(path))

    with pytest.raises(ImageUnacceptable, match="file system is damaged"):
        driver.build(instance)

    driver.destroy(instance)


@pytest.mark.parametrize("place", ["dev", "mnt", "var"])
def test_a_link_where_the_host_would_mount_is_not_followed(
    driver, new_image, root, tmp_path, libvirt_host, place
):
    shutil.copytree(root, tmp_path / "root", symlinks=True)
    shutil.rmtree(tmp_path / "root" / place)
    (tmp_path / "root" / place).symlink_to("/.oldroot/tmp")
    image = new_image(containers.make_image(tmp_path / "root", tmp_path / "image"))
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1)
    instance = make_instance(image=image, flavor=flavor, config_drive=True)

    with pytest.raises(HypervisorError, match=f"symbolic link at /{place}, where the host"):
        driver.build(instance)

    driver.destroy(instance)

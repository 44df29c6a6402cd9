# SPDX-License-Identifier: Apache-2.0
"""The life of a container on a real libvirtd, from boot to end, and what it says meanwhile."""

import contextlib
import subprocess

import msgspec
import pytest

pytest.importorskip("libvirt")

from common.states import PowerState
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import TINY, make_instance, make_vif
from tests.integration.compute import containers
from tests.integration.compute.container_host import *  # noqa: F403
from tests.integration.compute.container_host import first_process, said, wait_for
from tests.integration.leaks import left, traces

pytestmark = pytest.mark.integration


def test_the_host_says_that_it_runs_containers(driver):
    found = driver.inventory()

    assert found.hypervisor_type == "LXC"
    assert ("x86_64", "lxc", "exe") in found.supported
    assert {hypervisor for _, hypervisor, _ in found.supported} == {"lxc"}


def test_a_container_boots_from_its_image(driver, build):
    instance = build()

    wait_for(driver, instance, "idle\n")
    assert f"{containers.UP}\n" in said(driver, instance)
    # Grown to the flavor's gibibyte.
    size_mib = int(said(driver, instance).split("size ")[1].split()[0])
    assert 900 < size_mib <= 1024


def test_a_container_has_what_its_flavor_gives_and_no_more(driver, build, libvirt_host):
    instance = build(flavor=msgspec.structs.replace(TINY, memory_mib=48, vcpus=2))

    def limit(controller, name):
        process = first_process(libvirt_host, instance)
        # As the host's own first process sees it, below whose group all of its groups are.
        groups = libvirt_host.run("nsenter", "-C", "-t", "1", "cat", f"/proc/{process}/cgroup")
        [group] = [line.split(":")[2] for line in groups.split() if f":{controller}:" in line]
        return int(libvirt_host.run("cat", f"/sys/fs/cgroup/{controller}{group}/{name}"))

    assert limit("memory", "memory.limit_in_bytes") == 48 << 20
    period = limit("cpu", "cpu.cfs_period_us")
    assert limit("cpu", "cpu.cfs_quota_us") == 2 * period


def test_a_container_ends_when_it_is_told_to(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    assert driver.power_off(instance, grace_s=30) is PowerState.SHUTDOWN

    assert "going down\n" in said(driver, instance)


def test_an_init_that_listens_to_systemds_signal_alone_ends_by_it(
    driver, build, new_image, tmp_path
):
    then = "trap 'echo powering off; exit 0' 38\ntrap '' TERM\n"  # glibc's SIGRTMIN+4
    root = containers.make_root(tmp_path, then=then)
    instance = build(image=new_image(containers.make_image(root, tmp_path / "image")))
    wait_for(driver, instance, "idle\n")

    assert driver.power_off(instance, grace_s=30) is PowerState.SHUTDOWN

    assert "powering off\n" in said(driver, instance)


def test_a_soft_reboot_lets_it_end_and_keeps_its_disk(driver, build):
    instance = build()
    wait_for(driver, instance, "idle\n")

    driver.reboot(instance, hard=False)

    wait_for(driver, instance, "idle\n", times=2)
    assert said(driver, instance).count("going down\n") == 1
    assert "boot boot\n" in said(driver, instance)


def test_a_container_that_reboots_itself_goes_on_with_its_console(driver, build, inside, changes):
    instance = build()
    wait_for(driver, instance, "idle\n")
    changes.clear()

    # The process that asks for it is gone with all the others.
    with contextlib.suppress(subprocess.CalledProcessError):
        inside(instance, "busybox", "reboot", "-f")

    wait_for(driver, instance, "idle\n", times=2)
    assert driver.power_state(instance.uuid) is PowerState.RUNNING
    assert instance.uuid in changes


def test_an_end_behind_our_back_is_told(driver, build, inside, changes):
    instance = build()
    wait_for(driver, instance, "idle\n")
    changes.clear()

    inside(instance, "kill", "-TERM", "1")

    wait_until(lambda: instance.uuid in changes)
    wait_until(lambda: driver.power_state(instance.uuid) is PowerState.SHUTDOWN)
    assert driver.power_on(instance) is PowerState.RUNNING


def test_containers_and_their_disks_outlive_the_host(driver, build, libvirt_host):
    instance = build(config_drive=True)
    wait_for(driver, instance, "idle\n")

    libvirt_host.crash()
    libvirt_host.start()

    wait_until(lambda: driver.health() is None or driver.power_states() is not None, within_s=30)
    assert driver.power_on(instance) is PowerState.RUNNING
    wait_for(driver, instance, "idle\n", times=2)
    assert "boot boot\n" in said(driver, instance)


def test_another_run_of_the_daemon_goes_on_with_the_console(driver, make_containers, build, inside):
    instance = build()
    wait_for(driver, instance, "idle\n")
    driver.stop()

    another = make_containers()
    another.start(lambda _: None)
    inside(instance, "sh", "-c", "echo still here > /dev/console")

    wait_for(another, instance, "still here\n")
    another.destroy(instance)


def test_a_console_that_is_flooded_stops_nobody(driver, build, inside):
    flooded, other = build(), build()
    for instance in (flooded, other):
        wait_for(driver, instance, "idle\n")
    inside(flooded, "sh", "-c", "yes flood > /dev/console & sleep 2; kill $!")

    inside(other, "sh", "-c", "echo still here > /dev/console")
    wait_for(driver, other, "still here\n")

    inside(flooded, "sh", "-c", "echo; echo after the flood > /dev/console")
    wait_for(driver, flooded, "after the flood\n")
    folder = driver._settings.instances / flooded.uuid  # noqa: SLF001
    assert sum(log.stat().st_size for log in folder.glob("console.log*")) < 3 << 20


def test_nothing_of_a_container_is_left(driver, network, libvirt_host, changes):
    state = libvirt_host.folder / "containers"
    folders = (state / "instances", state / "l")
    before = traces([libvirt_host], folders)
    flavor = msgspec.structs.replace(TINY, ephemeral_gib=1)
    instance = make_instance(vifs=(make_vif(),), flavor=flavor, config_drive=True)

    driver.build(instance)
    driver.reboot(instance, hard=True)
    driver.pause(instance)
    driver.unpause(instance)
    driver.rebuild(instance)
    wait_for(driver, instance, "idle\n")
    # Its file systems are mounted in the container alone.
    mounts = left(before, traces([libvirt_host], folders)).get("mounts")
    driver.destroy(instance)

    assert mounts is None
    wait_until(lambda: left(before, traces([libvirt_host], folders)) == {})

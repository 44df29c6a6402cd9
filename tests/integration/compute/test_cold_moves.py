# SPDX-License-Identifier: Apache-2.0
"""Guests of real libvirtds move while they are off, and their disks with them."""

import json
import os
import subprocess

import msgspec
import pytest

from common.errors import HypervisorError, Invalid
from common.states import PowerState
from services.compute.images import GIB
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance
from tests.contracts.drivers.moves import BIGGER, MoveContract
from tests.integration.compute.counting_guest import beats, boots
from tests.integration.compute.sites import *  # noqa: F403
from tests.integration.compute.tpm import MEMORY, seeds

pytestmark = pytest.mark.integration


class TestMoves(MoveContract):
    """What every driver does."""


@pytest.fixture
def build(source):
    """Builds an instance at the source and waits for its first beat; gone after the test."""
    made = []

    def build(at=None, **values):
        site = at or source
        instance = make_instance(host=site.name, **values)
        made.append((site, instance))
        site.driver.build(instance)
        wait_until(lambda: beats(site.console(instance)))
        return instance

    yield build
    for site, instance in made:
        site.driver.destroy(instance)


@pytest.fixture
def arrived(dest):
    """Receives instances; gone after the test."""
    made = []

    def arrive(instance, from_site, at=None, **values):
        site = at or dest
        moved = msgspec.structs.replace(instance, **values)
        made.append((site, msgspec.structs.replace(moved, host=site.name)))
        site.driver.receive(moved, from_host=from_site.name, start=True)
        return made[-1][1]

    yield arrive
    for site, instance in made:
        site.driver.destroy(instance)


def disk_sizes(site, instance):
    """Bytes of its disks, by name."""
    told = site.virsh("domblkinfo", f"kilonova-{instance.uuid}", "--all")
    return {line.split()[0]: int(line.split()[1]) for line in told.splitlines()[2:] if line}


def beginning(path):
    with path.open("rb") as file:
        return file.read(4096)


def test_a_guest_finds_on_its_disk_what_it_wrote_on_the_other_host(source, dest, build, arrived):
    instance = build()

    source.driver.set_aside(instance, grace_s=0)
    moved = arrived(instance, source)
    wait_until(lambda: boots(dest.console(moved)))

    [(count, so_far)] = boots(dest.console(moved))
    assert count == 2
    assert so_far >= 1
    source.driver.forget_aside(instance)
    assert source.left(instance) == []


def test_disks_grow_to_the_new_flavor_and_are_as_before_when_it_is_reverted(
    source, dest, build, arrived
):
    instance = build()

    source.driver.set_aside(instance, grace_s=0)
    moved = arrived(instance, source, flavor=BIGGER)
    wait_until(lambda: boots(dest.console(moved)))

    assert disk_sizes(dest, moved) == {"vda": 2 * GIB, "vdb": GIB, "vdc": 16 << 20}
    dest.driver.destroy(moved)
    assert dest.left(moved) == []
    source.driver.take_back(instance, start=True)
    wait_until(lambda: len(boots(source.console(instance))) == 2)
    # what it wrote on the other host is not there
    assert [count for count, _ in boots(source.console(instance))] == [1, 2]
    assert disk_sizes(source, instance) == {"vda": GIB}


def test_a_disk_is_not_made_smaller(source, dest, build):
    instance = build(flavor=msgspec.structs.replace(TINY, root_gib=2))
    source.driver.set_aside(instance, grace_s=0)

    with pytest.raises(Invalid, match="It has 2 GiB, the flavor gives 1 GiB"):
        dest.driver.receive(
            msgspec.structs.replace(instance, flavor=TINY), from_host=source.name, start=True
        )

    dest.driver.destroy(instance)
    assert dest.left(instance) == []
    assert source.driver.take_back(instance, start=True) is PowerState.RUNNING


def test_the_image_comes_from_the_old_host_when_its_service_has_it_no_more(
    source, dest, build, arrived
):
    instance = build()
    dest.images.prune(lambda: (), keep_s=-1)
    dest.source.gone = True

    source.driver.set_aside(instance, grace_s=0)
    moved = arrived(instance, source)

    wait_until(lambda: boots(dest.console(moved)))
    assert dest.images.find(IMAGE.id) is not None
    told = json.loads(
        subprocess.run(
            ["qemu-img", "info", "-U", "--output=json", dest.instances / moved.uuid / "disk"],
            capture_output=True, check=True,
        ).stdout
    )  # fmt: skip
    assert told["full-backing-filename"].startswith(str(dest.host.folder))


def test_an_evacuated_instance_is_built_anew_and_its_old_host_cleans_up(source, dest, build):
    instance = build()
    try:
        source.virsh("destroy", f"kilonova-{instance.uuid}")
        assert dest.driver.build(instance) is PowerState.RUNNING
        wait_until(lambda: beats(dest.console(instance)))

        moved = msgspec.structs.replace(instance, host=dest.name)
        source.driver.destroy(moved)  # what it owes when it is back

        assert source.left(instance) == []
        assert boots(dest.console(instance)) == [(1, 0)]
        assert dest.driver.power_state(instance.uuid) is PowerState.RUNNING
    finally:
        dest.driver.destroy(msgspec.structs.replace(instance, host=dest.name))


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
def test_disks_of_every_kind_move(make_sites, disk_format):
    source, dest = make_sites(disk_format=disk_format)
    instance = make_instance(
        host=source.name, flavor=BIGGER, config_drive=True, admin_password="s3cret"
    )
    try:
        source.driver.build(instance)
        wait_until(lambda: beats(source.console(instance)))
        secret = (source.instances / instance.uuid / "disk.config").read_bytes()
        ephemeral = beginning(source.instances / instance.uuid / "disk.eph0")

        source.driver.set_aside(instance, grace_s=0)
        forgetful = msgspec.structs.replace(instance, admin_password=None)
        dest.driver.receive(forgetful, from_host=source.name, start=True)

        wait_until(lambda: boots(dest.console(instance)))
        files = dest.instances / instance.uuid
        assert b"s3cret" in secret
        assert (files / "disk.config").read_bytes() == secret
        assert beginning(files / "disk.eph0") == ephemeral
        assert (files / "disk.eph0").stat().st_blocks < GIB >> 10  # its holes are holes
    finally:
        for site in (source, dest):
            site.driver.destroy(msgspec.structs.replace(instance, host=site.name))


def test_a_disk_that_looks_like_another_format_stays_where_it_is(make_sites):
    source, dest = make_sites(disk_format="raw")
    instance = make_instance(host=source.name)
    try:
        source.driver.build(instance)
        source.driver.power_off(instance, grace_s=0)
        disk = source.instances / instance.uuid / "disk"
        with disk.open("r+b") as file:  # as the guest could
            file.write(b"QFI\xfb\0\0\0\3" + (512).to_bytes(8) + (11).to_bytes(4))
            file.seek(512)
            file.write(b"/etc/shadow")
        content = beginning(disk)

        source.driver.set_aside(instance, grace_s=0)
        with pytest.raises(HypervisorError, match="does not offer"):
            dest.driver.receive(instance, from_host=source.name, start=True)
        dest.driver.destroy(instance)
        source.driver.take_back(instance, start=False)

        assert beginning(disk) == content
        assert "/etc/shadow" not in source.virsh("dumpxml", f"kilonova-{instance.uuid}")
    finally:
        for site in (source, dest):
            site.driver.destroy(instance)


TPM = msgspec.structs.replace(TINY, extra_specs={"hw:tpm_version": "2.0"})
BIGGER_TPM = msgspec.structs.replace(BIGGER, extra_specs=TPM.extra_specs)


def tpm_state(site, instance):
    """The folder in which libvirt keeps what the guest's TPM remembers."""
    return site.host.folder / "lib" / "swtpm" / instance.uuid / "tpm2"


def mark(state, word):
    """Have a TPM that is off remember a word, after what it remembers itself."""
    with (state / MEMORY).open("ab") as file:
        file.write(word)


def marks(state):
    """Which words it remembers."""
    return [word for word in (b"before", b"after") if word in (state / MEMORY).read_bytes()]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "here"])
def test_a_tpm_moves_with_its_guest_and_comes_back_as_it_was(source, dest, build, elsewhere):
    other = dest if elsewhere else source
    instance = build(flavor=TPM)
    grown = msgspec.structs.replace(instance, flavor=BIGGER_TPM)
    here, there = tpm_state(source, instance), tpm_state(other, instance)
    source.driver.power_off(instance, grace_s=0)
    mark(here, b"before")

    source.driver.set_aside(instance, grace_s=0)
    assert not here.exists()
    other.driver.receive(grown, from_host=source.name, start=False)
    assert marks(there) == [b"before"]
    mark(there, b"after")
    if elsewhere:
        other.driver.destroy(msgspec.structs.replace(grown, host=other.name))
        assert not there.parent.exists()
    source.driver.take_back(instance, start=False)
    assert marks(here) == [b"before"]
    assert not (source.instances / instance.uuid / "tpm.json").exists()

    source.driver.set_aside(instance, grace_s=0)
    other.driver.receive(grown, from_host=source.name, start=False)
    source.driver.forget_aside(instance)
    assert marks(there) == [b"before"]
    assert other is source or not here.exists()
    other.driver.destroy(msgspec.structs.replace(grown, host=other.name))
    assert not there.parent.exists()


def test_a_guest_starts_with_the_tpm_that_came_with_it(source, dest, build, arrived):
    instance = build(flavor=TPM)
    before = seeds(tpm_state(source, instance))

    source.driver.set_aside(instance, grace_s=0)
    moved = arrived(instance, source)

    wait_until(lambda: boots(dest.console(moved)))
    state = tpm_state(dest, moved)
    assert (state / MEMORY).stat().st_uid == state.stat().st_uid
    assert seeds(state) == before
    source.driver.forget_aside(instance)
    assert source.left(instance) == []


@pytest.mark.parametrize(
    "act",
    [
        lambda driver, instance: (
            driver.power_off(instance, grace_s=0), driver.power_on(instance)
        ),
        lambda driver, instance: driver.reboot(instance, hard=True),
        lambda driver, instance: (driver.suspend(instance), driver.resume(instance)),
        lambda driver, instance: (driver.rescue(instance, IMAGE), driver.unrescue(instance)),
    ],
    ids=["stop", "reboot", "suspend", "rescue"],
)  # fmt: skip
def test_tpm_and_firmware_remember_whatever_is_done_to_the_guest(source, act):
    image = msgspec.structs.replace(
        IMAGE, properties={"hw_firmware_type": "uefi", "hw_machine_type": "q35"}
    )
    instance = make_instance(host=source.name, flavor=TPM, image=image)
    try:
        source.driver.build(instance)
        state, nvram = tpm_state(source, instance), source.instances / instance.uuid / "nvram.fd"
        born_with = seeds(state)
        source.driver.power_off(instance, grace_s=0)
        mark_firmware(nvram)
        source.driver.power_on(instance)

        act(source.driver, instance)

        assert seeds(state) == born_with
        assert nvram.read_bytes().endswith(b"mark")
        source.driver.rebuild(instance)
        assert seeds(state) != born_with
        assert not nvram.read_bytes().endswith(b"mark")
    finally:
        source.driver.destroy(instance)


def mark_firmware(nvram):
    """Write a mark where the firmware itself writes nothing, so that QEMU leaves it alone."""
    with nvram.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"mark")


def test_variables_of_the_firmware_move_with_the_guest(source, dest, build, arrived):
    image = msgspec.structs.replace(
        IMAGE, properties={"hw_firmware_type": "uefi", "hw_machine_type": "q35"}
    )
    instance = make_instance(host=source.name, image=image)
    try:
        source.driver.build(instance)
        source.driver.power_off(instance, grace_s=0)
        nvram = source.instances / instance.uuid / "nvram.fd"
        mark_firmware(nvram)
        variables = nvram.read_bytes()

        source.driver.set_aside(instance, grace_s=0)
        moved = arrived(instance, source)
        there = (dest.instances / instance.uuid / "nvram.fd").read_bytes()
        dest.driver.destroy(moved)
        source.driver.take_back(instance, start=False)

        assert there.endswith(b"mark")
        assert nvram.read_bytes() == variables
    finally:
        source.driver.destroy(instance)


def test_a_host_that_cannot_be_reached_is_named(make_sites):
    source, dest = make_sites(migration={"uri": "qemu+unix://{host}/system?socket=/nowhere"})
    instance = make_instance(host=source.name)
    try:
        source.driver.build(instance)
        source.driver.set_aside(instance, grace_s=0)

        with pytest.raises(HypervisorError, match=f"libvirt of {source.name} cannot be reached"):
            dest.driver.receive(instance, from_host=source.name, start=True)
    finally:
        dest.driver.destroy(instance)
        source.driver.destroy(instance)

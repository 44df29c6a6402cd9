# SPDX-License-Identifier: Apache-2.0
"""Guests of real libvirtds move while they run, with their disks or without."""

import json
import os
import threading

import libvirt
import msgspec
import pytest

from common.errors import HypervisorError, Invalid, OperationCancelled
from common.objects.flavor import Flavor
from common.objects.migration import MigrationProgress
from common.states import PowerState
from services.compute.virt.driver import never_cancelled
from services.compute.virt.libvirt.arrivals import check_cpu
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.offers import Offer
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import IMAGE, TINY, make_instance, make_vif
from tests.integration.certificates import Authority
from tests.integration.compute.counting_guest import beats, boots
from tests.integration.compute.sites import *  # noqa: F403
from tests.integration.compute.tpm import seeds as tpm_seeds

pytestmark = pytest.mark.integration

SLOW = {"bandwidth_mib_s": 1}
# Its swap is filled with what takes a second a MiB, then.
HEAVY = msgspec.structs.replace(TINY, swap_mib=24)  # of those that are stopped on their way
LIGHT = msgspec.structs.replace(TINY, swap_mib=2)


@pytest.fixture(params=["own", "shared"])
def storage(request):
    """Whether hosts have the instances' folder for themselves or share it."""
    return request.param


@pytest.fixture
def make_pair(make_sites, tmp_path, storage):
    """Makes two sites with that storage."""

    def make(**settings):
        return make_sites(shared=tmp_path if storage == "shared" else None, **settings)

    return make


class Journey:
    """A guest that shall move from one site to another; `end` removes it."""

    def __init__(self, source, dest, **values):
        self.source, self.dest = source, dest
        self.instance = make_instance(host=source.name, **values)
        source.driver.build(self.instance)
        wait_until(lambda: beats(source.console(self.instance)))

    def fill_swap(self):
        with (self.source.instances / self.instance.uuid / "disk.swap").open("r+b") as file:
            file.write(os.urandom(self.instance.flavor.swap_mib << 20))

    def prepare(self, block_migration=None):
        self.source.driver.offer_live(self.instance)
        return self.dest.driver.prepare_live(
            self.instance, from_host=self.source.name, block_migration=block_migration
        )

    def migrate(self, target, checkpoint=never_cancelled, by=None):
        (by or self.source).driver.migrate_live(
            self.instance, to_host=self.dest.name, target=target, checkpoint=checkpoint
        )

    def go(self):
        self.migrate(self.prepare())
        return self.dest.driver.welcome(self.instance)

    def give_up(self):
        self.dest.driver.discard_live(self.instance)
        self.source.driver.withdraw_live(self.instance)

    def beats_on(self, site):
        """It beats at this site, and goes on to."""
        before = len(beats(site.console(self.instance)))
        wait_until(lambda: len(beats(site.console(self.instance))) > before + 1)
        return True

    def end(self):
        for site in (self.source, self.dest):
            site.driver.destroy(msgspec.structs.replace(self.instance, host=site.name))
            assert site.left(self.instance) == []


@pytest.fixture
def journey():
    """Begins journeys, and ends them after the test."""
    begun = []

    def begin(source, dest, **values):
        begun.append(Journey(source, dest, **values))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


def test_a_tpm_moves_with_its_guest(source, dest, journey):
    flavor = msgspec.structs.replace(TINY, extra_specs={"hw:tpm_version": "2.0"})
    moved = journey(source, dest, flavor=flavor)
    here, there = (
        site.host.folder / "lib" / "swtpm" / moved.instance.uuid for site in (source, dest)
    )
    born_with = tpm_seeds(here / "tpm2")

    assert moved.go() is PowerState.RUNNING

    assert moved.beats_on(dest)
    assert tpm_seeds(there / "tpm2") == born_with
    assert not here.exists()


def fill(site, instance, name, mib):
    """Give a disk of a guest something to copy."""
    with (site.instances / instance.uuid / name).open("r+b") as file:
        file.write(os.urandom(mib << 20))


def beginning(path):
    with path.open("rb") as file:
        return file.read(2 << 20)


def test_a_guest_goes_on_on_the_other_host_with_its_memory_and_its_disk(make_pair, journey):
    source, dest = make_pair()
    moving = journey(source, dest, config_drive=True, admin_password="s3cret")
    drive = (source.instances / moving.instance.uuid / "disk.config").read_bytes()
    before = beats(source.console(moving.instance))[-1]

    assert moving.go() is PowerState.RUNNING

    assert moving.beats_on(dest)
    there = dest.console(moving.instance)
    assert beats(there)[-1] > before
    assert len(boots(there)) == (1 if source.instances == dest.instances else 0)
    if source.instances != dest.instances:
        assert source.left(moving.instance) == []
    assert (dest.instances / moving.instance.uuid / "disk.config").read_bytes() == drive
    dest.driver.reboot(moving.instance, hard=True)
    wait_until(lambda: boots(dest.console(moving.instance)))
    wait_until(lambda: boots(dest.console(moving.instance))[-1][0] == 2)
    assert boots(dest.console(moving.instance))[-1][1] > before


def test_disks_without_an_image_move_too(make_sites, journey):
    source, dest = make_sites(disk_format="raw")
    rich = Flavor(
        flavorid="3", name="rich", vcpus=1, memory_mib=32, root_gib=1, ephemeral_gib=1, swap_mib=16
    )
    moving = journey(source, dest, flavor=rich)
    fill(source, moving.instance, "disk.eph0", mib=1)
    ephemeral = beginning(source.instances / moving.instance.uuid / "disk.eph0")

    moving.go()

    assert moving.beats_on(dest)
    assert beginning(dest.instances / moving.instance.uuid / "disk.eph0") == ephemeral
    dest.driver.reboot(moving.instance, hard=True)
    wait_until(lambda: boots(dest.console(moving.instance)))
    assert boots(dest.console(moving.instance))[-1][0] == 2


def test_the_image_comes_from_the_old_host_when_its_service_has_it_no_more(sites, journey):
    source, dest = sites
    moving = journey(source, dest)
    dest.images.prune(lambda: (), keep_s=-1)
    dest.source.gone = True

    moving.go()

    assert moving.beats_on(dest)
    assert dest.images.find(IMAGE.id) is not None


@pytest.fixture
def by_tls(hosts):
    """The settings of each host, which shows its certificate and believes nobody without one."""
    return [
        {
            "migration": {
                "uri": "qemu+tls://{host}/system?pkipath=" + str(host.pki), "tls": True
            }
        }
        for host in hosts
    ]  # fmt: skip


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_memory_and_disks_move_encrypted(make_sites, by_tls, journey, hosts, is_encrypted):
    source, dest = make_sites(each=by_tls) if is_encrypted else make_sites()
    moving = journey(source, dest, flavor=LIGHT)
    secret = b"the guest's own "
    with (source.instances / moving.instance.uuid / "disk.swap").open("r+b") as swap:
        swap.write(secret * 4096)

    with hosts[0].fabric.overhear(secret) as was_overheard:
        moving.go()
        assert was_overheard() is not is_encrypted

    assert moving.beats_on(dest)


def test_a_host_without_a_certificate_gets_nothing(make_sites, by_tls, journey, tmp_path):
    strange = tmp_path / "pki"
    (tmp_path / "ca").mkdir()
    Authority(tmp_path / "ca").issue("127.0.0.1", strange)
    by_tls[1]["migration"]["uri"] = f"qemu+tls://{{host}}/system?pkipath={strange}"
    source, dest = make_sites(each=by_tls)
    moving = journey(source, dest)
    moving.source.driver.offer_live(moving.instance)

    with pytest.raises(HypervisorError, match=f"libvirt of {source.name} cannot be reached"):
        dest.driver.prepare_live(moving.instance, from_host=source.name, block_migration=None)
    moving.give_up()

    assert moving.beats_on(source)


def test_what_differs_between_the_hosts_is_the_new_ones(make_sites, journey, hosts):
    each = [
        {
            "platform": Platform(
                disk_cache="unsafe", dedicated_cpus=frozenset((cpu,)), vnc_listen=address,
                spice_listen=address, serial_listen=address,
            ),
            "serial_ports": (10001 + cpu, 10001 + cpu),
        }
        for cpu, address in ((0, "127.0.0.1"), (1, "127.0.0.2"))
    ]  # fmt: skip
    source, dest = make_sites(each=each)
    pinned = msgspec.structs.replace(TINY, extra_specs={"hw:cpu_policy": "dedicated"})
    moving = journey(source, dest, flavor=pinned)
    target = moving.prepare()
    # the CPU is kept for it meanwhile
    another = make_instance(host=dest.name, flavor=pinned)
    with pytest.raises(HypervisorError, match="dedicated CPUs are wanted, 0 of this host's 1"):
        dest.driver.build(another)
    dest.driver.destroy(another)

    moving.migrate(target)
    dest.driver.welcome(moving.instance)

    name = f"kilonova-{moving.instance.uuid}"
    for which in ((), ("--inactive",)):
        definition = dest.virsh("dumpxml", name, *which)
        assert "address='127.0.0.2'" in definition
        assert "127.0.0.1" not in definition
        assert "service='10002'" in definition
        assert "service='10001'" not in definition
        assert "vcpupin vcpu='0' cpuset='1'" in definition
        assert str(source.host.folder) not in definition


def test_an_interface_joins_the_bridge_of_the_new_host(sites, journey):
    source, dest = sites
    vif = make_vif()
    for site in sites:
        site.host.add_bridge("br-test")
    try:
        moving = journey(source, dest, vifs=(vif,))
        moving.go()

        assert moving.beats_on(dest)
        ports = [s.host.run("ip", "-o", "link", "show", "master", "br-test") for s in sites]
        assert [vif.device in port for port in ports] == [False, True]
        moving.end()
    finally:
        for site in sites:
            site.host.remove_bridge("br-test")


def test_a_bridge_that_the_new_host_lacks_is_named_and_the_guest_stays(sites, journey):
    source, dest = sites
    source.host.add_bridge("br-test")
    try:
        moving = journey(source, dest, vifs=(make_vif(),))
        target = moving.prepare()

        with pytest.raises(HypervisorError, match=f"br-test of port .* is not on {dest.name}"):
            moving.migrate(target)
        moving.give_up()

        assert moving.beats_on(source)
        assert dest.left(moving.instance) == []
        moving.end()
    finally:
        source.host.remove_bridge("br-test")


def test_a_migration_is_given_up_halfway_and_leaves_nothing(make_sites, journey):
    source, dest = make_sites(migration=SLOW)
    moving = journey(source, dest, flavor=HEAVY)
    moving.fill_swap()
    target = moving.prepare()
    seen = []

    def give_up_when_it_is_under_way():
        seen.append(source.driver.live_progress(moving.instance.uuid))
        if seen[-1].disk_processed_bytes:
            raise OperationCancelled(reason="the test says so")

    with pytest.raises(OperationCancelled):
        moving.migrate(target, give_up_when_it_is_under_way)
    moving.give_up()

    assert seen[-1].disk_total_bytes >= HEAVY.swap_mib << 20
    assert moving.beats_on(source)
    assert dest.left(moving.instance) == []
    assert f"{moving.instance.uuid}.offer" not in source.left(moving.instance)


@pytest.mark.parametrize("action", ["abort", "force_complete"])
def test_a_migration_that_takes_too_long_is_ended(make_sites, journey, action):
    limits = {"timeout_s": 1, "timeout_action": action}
    source, dest = make_sites(migration=SLOW | limits)
    moving = journey(source, dest, flavor=LIGHT)
    moving.fill_swap()
    target = moving.prepare()

    if action == "abort":
        with pytest.raises(HypervisorError, match="has not moved within 1 s"):
            moving.migrate(target)
        moving.give_up()
        assert moving.beats_on(source)
    else:
        moving.migrate(target)
        assert dest.driver.welcome(moving.instance) is PowerState.RUNNING


def test_a_guest_whose_new_host_gives_up_stays(make_sites, journey):
    source, dest = make_sites(migration=SLOW)
    moving = journey(source, dest, flavor=HEAVY)
    moving.fill_swap()
    target = moving.prepare()

    def discard_when_it_is_under_way():
        if source.driver.live_progress(moving.instance.uuid).disk_processed_bytes:
            dest.driver.discard_live(moving.instance)

    with pytest.raises(HypervisorError):
        moving.migrate(target, discard_when_it_is_under_way)
    moving.give_up()

    assert moving.beats_on(source)
    assert dest.left(moving.instance) == []


def test_a_daemon_that_was_restarted_waits_for_the_migration_under_way(make_sites, journey):
    source, dest = make_sites(migration=SLOW)
    moving = journey(source, dest, flavor=msgspec.structs.replace(TINY, swap_mib=4))
    moving.fill_swap()
    target = moving.prepare()
    [restarted, _] = make_sites(migration=SLOW)

    first = threading.Thread(target=moving.migrate, args=(target,))
    first.start()
    try:
        uuid = moving.instance.uuid
        # On a busy machine the guest may be gone when libvirt has said how far it is.
        wait_until(
            lambda: not first.is_alive() or source.driver.live_progress(uuid) != MigrationProgress()
        )
        moving.migrate(target, by=restarted)
    finally:
        first.join()
    [_, fresh] = make_sites(migration=SLOW)  # its start welcomes the guest, too

    assert not (dest.host.folder / "guests" / "landings" / f"{uuid}.json").exists()
    assert json.loads((dest.instances / uuid / "owner").read_text())["host"] == dest.name
    assert moving.beats_on(fresh)


def test_the_kind_of_move_that_was_asked_for_is_checked(make_pair, journey, storage):
    source, dest = make_pair()
    moving = journey(source, dest)

    with pytest.raises(Invalid, match="shared storage"):
        moving.prepare(block_migration=storage == "shared")

    assert dest.left(moving.instance) in ([], source.left(moving.instance)[:-2])
    moving.give_up()
    moving.migrate(moving.prepare(block_migration=storage == "own"))


def test_a_host_whose_cpu_is_less_than_the_guests_is_refused(dest):
    cpu = (
        "<cpu mode='custom' match='exact'><model>qemu64</model>"
        "<feature policy='require' name='avx512f'/></cpu>"
    )
    connection = libvirt.open(dest.host.uri)
    try:
        with pytest.raises(Invalid, match=f"{dest.name} cannot give .*avx512f"):
            check_cpu(connection, Offer(host="other", cpu=cpu), "qemu", dest.name)
    finally:
        connection.close()

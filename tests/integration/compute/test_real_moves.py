# SPDX-License-Identifier: Apache-2.0
"""A Linux guest loses a device, is copied and moves, as it and its agent see it.

One guest goes through all of it, in the order in which the tests stand here.
"""

import subprocess
import threading

import msgspec
import pytest

from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.states import PowerState
from services.compute.images import GIB
from tests.contracts.drivers.contract import wait_until
from tests.contracts.drivers.instances import make_instance, make_vif
from tests.integration import real_guest
from tests.integration.compute.sites import RealSite
from tests.integration.real_guest import RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(real_guest.missing), reason=f"no {', '.join(real_guest.missing)}"),
]
IMAGE = ImageMeta(
    id="6f6ad9ea-5d37-4a3b-8bd5-7d7ea6b7a3c1", disk_format="qcow2",
    properties={"os_require_quiesce": "yes"},
)  # fmt: skip
NANO = Flavor(flavorid="9", name="nano", vcpus=1, memory_mib=128, root_gib=1)


class GuestImage:
    """An image service with the guest image."""

    def download(self, image_id):
        yield real_guest.image().read_bytes()


@pytest.fixture(scope="module")
def sites(hosts):
    """Two hosts; what moves alive goes slowly, and may go on before its memory is there."""
    migration = {"bandwidth_mib_s": 4, "post_copy": True}
    made = [RealSite(host, migration=migration, source=GuestImage()) for host in hosts]
    yield made
    for site in made:
        site.driver.stop()


@pytest.fixture(scope="module")
def instance(sites):
    instance = make_instance(host=sites[0].name, flavor=NANO, image=IMAGE)
    sites[0].driver.build(instance)
    yield instance
    for site in sites:
        site.driver.destroy(msgspec.structs.replace(instance, host=site.name))
        assert site.left(instance) == []


@pytest.fixture
def at(instance):
    """The guest at a site, ready."""

    def find(site):
        return RealGuest(site.host, site.driver, instance)

    return find


def test_a_guest_lets_go_of_an_interface(sites, instance, at):
    source, guest = sites[0], at(sites[0])
    guest.wait_ready()
    guest.sh("modprobe virtio_net")  # it had no interface when it booted
    source.host.add_bridge("br-test")
    try:
        source.driver.attach_interface(instance, make_vif())
        guest.wait_until(lambda: "eth0" in guest.sh("ls /sys/class/net"))

        assert source.driver.detach_interface(instance, make_vif()) is PowerState.RUNNING

        assert "eth0" not in guest.sh("ls /sys/class/net")
        name = f"kilonova-{instance.uuid}"
        for which in ((), ("--inactive",)):
            assert make_vif().mac not in source.virsh("domiflist", name, *which)
    finally:
        source.host.remove_bridge("br-test")


def test_a_snapshot_has_what_the_guest_wrote_last(sites, instance, at, tmp_path):
    source, guest = sites[0], at(sites[0])
    # in the guest's memory only: its agent has it written out
    guest.sh("echo this-is-the-last-word > /root/word")

    assert source.driver.snapshot(instance, "an-image") is PowerState.RUNNING

    raw = tmp_path / "raw"
    command = ["qemu-img", "convert", "-O", "raw", source.driver.snapshot_path("an-image"), raw]
    subprocess.run(command, check=True)
    assert (
        subprocess.run(["grep", "-qa", "this-is-the-last-word", raw], check=False).returncode == 0
    )
    source.driver.discard_snapshot("an-image")
    guest.sh("echo and it writes on > /root/word")


def test_a_guest_that_is_hurried_goes_on_before_its_memory_is_there(sites, instance, at):
    source, dest = sites
    source.driver.offer_live(instance)
    target = dest.driver.prepare_live(instance, from_host=source.name, block_migration=None)
    migration = threading.Thread(
        target=source.driver.migrate_live, args=(instance,),
        kwargs={"to_host": dest.name, "target": target},
    )  # fmt: skip
    migration.start()
    try:
        wait_until(
            lambda: source.driver.live_progress(instance.uuid).memory_processed_bytes, within_s=60
        )
        source.driver.complete_live(instance.uuid)
    finally:
        migration.join(120)

    assert dest.driver.welcome(instance) is PowerState.RUNNING
    assert at(dest).sh("cat /root/word; cat /etc/boots") == "and it writes on\n1"
    assert instance.uuid not in source.guests()


def test_a_guest_is_shut_down_before_it_moves_and_finds_a_larger_disk(sites, instance, at):
    source, dest = sites
    bigger = msgspec.structs.replace(
        instance, flavor=msgspec.structs.replace(NANO, root_gib=2, memory_mib=192)
    )

    dest.driver.set_aside(instance, grace_s=60)
    console = dest.instances / f"{instance.uuid}.aside" / "console.log"
    assert "GUEST shutdown" in console.read_text(errors="replace")
    state = source.driver.receive(bigger, from_host=dest.name, start=True)
    dest.driver.forget_aside(instance)

    assert state is PowerState.RUNNING
    guest = at(source)
    guest.wait_ready()
    assert guest.sh("cat /root/word; cat /etc/boots") == "and it writes on\n2"
    kib = int(guest.sh("df -k / | tail -1").split()[1])
    assert kib << 10 > GIB
    assert int(guest.sh("grep MemTotal /proc/meminfo").split()[1]) > 130 << 10

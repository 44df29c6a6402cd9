# SPDX-License-Identifier: Apache-2.0
"""A real guest mounts shares by their tags, and reads and writes what is on them.

As in test_libvirt_shares.py, a folder of this machine is bound in place of an NFS mount; all from
there on, into the guest, is real.
"""

import os

import pytest

from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.share_mapping import ShareMapping
from services.compute.shares import find_virtiofsd
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.share_contract import with_shares
from tests.integration import real_guest
from tests.integration.real_guest import RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems"),
    pytest.mark.skipif(find_virtiofsd() is None, reason="needs virtiofsd"),
    pytest.mark.skipif(bool(real_guest.missing), reason=f"no {', '.join(real_guest.missing)}"),
]

LINUX = ImageMeta(id="5c8a1fd3-4f07-4a59-9d26-63d3b3a2c003", disk_format="qcow2")
SMALL = Flavor(flavorid="9", name="small", vcpus=1, memory_mib=128, root_gib=1)


class Images:
    """An image service with the real guest's."""

    def download(self, image_id):
        assert image_id == LINUX.id
        yield real_guest.image().read_bytes()


@pytest.fixture
def source():
    return Images()


@pytest.fixture
def driver(make_driver):
    made = make_driver(share_mount_options="bind")
    made.start(lambda _: None)
    return made


@pytest.fixture
def off(driver):
    """A server that is off."""
    made = make_instance(image=LINUX, flavor=SMALL)
    driver.build(made)
    driver.power_off(made, grace_s=0)
    yield made
    driver.destroy(made)


def test_a_guest_reads_and_writes_its_share_until_it_is_detached(
    driver, off, libvirt_host, tmp_path
):
    (tmp_path / "greeting").write_text("hello from the share\n")
    share = ShareMapping(
        uuid="m", share_id="5a5a5a5a-0000-4000-8000-000000000001", tag="data",
        export_location=str(tmp_path),
    )  # fmt: skip
    guest = RealGuest(libvirt_host, driver, off)
    driver.attach_share(off, share)
    driver.power_on(with_shares(off, share))
    guest.wait_ready()

    guest.sh("mkdir -p /mnt/share && mount -t virtiofs data /mnt/share")
    read = guest.sh("cat /mnt/share/greeting")
    guest.sh("echo hello from the guest > /mnt/share/answer && sync")

    assert read == "hello from the share"
    assert (tmp_path / "answer").read_text() == "hello from the guest\n"

    driver.power_off(off, grace_s=0)
    driver.detach_share(with_shares(off, share), share)
    driver.power_on(off)
    guest.wait_ready(boots=2)
    assert guest.sh("mount -t virtiofs data /mnt/share 2>/dev/null || echo no such tag") == (
        "no such tag"
    )
    assert (tmp_path / "answer").exists()

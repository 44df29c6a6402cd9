# SPDX-License-Identifier: Apache-2.0
"""Shares of the libvirt driver on a real libvirtd, with a real virtiofsd for each.

The kernel of test machines has no NFS: a folder of this machine is bound to where a share would be
mounted, which mount(8) does whatever the file system's type, and os-brick with it.
"""

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

from common.errors import HypervisorError, NotSupported
from common.objects.share_mapping import HOST_TRAIT, ShareMapping
from services.compute.shares import Shares, find_virtiofsd
from tests.contracts.drivers.instances import make_instance
from tests.contracts.drivers.share_contract import ShareContract, with_shares

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems"),
    pytest.mark.skipif(find_virtiofsd() is None, reason="needs virtiofsd"),
]


def a_share(**values):
    return ShareMapping(uuid="m", share_id="s", tag="t", export_location="nas:/s", **values)


def mounts_below(host):
    """Mounts of guests' shares, as the daemon and libvirt have them, which is the same."""
    ours, its = Path("/proc/mounts").read_text(), host.run("cat", "/proc/mounts")
    found, seen = (
        sorted(
            path
            for path in (line.split()[1] for line in text.splitlines())
            if path.startswith(f"{host.folder}/guests/shares/")
        )
        for text in (ours, its)
    )
    assert found == seen
    return found


class TestLibvirtShares(ShareContract):
    @pytest.fixture
    def driver(self, make_driver, changes, libvirt_host):
        driver = make_driver(share_mount_options="bind")
        driver.start(changes.append)
        yield driver
        assert mounts_below(libvirt_host) == []

    @pytest.fixture
    def location(self, libvirt_host):
        def make(name):
            folder = libvirt_host.folder / "exports" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "name").write_text(name)
            return str(folder)

        return make

    @pytest.fixture
    def has(self, libvirt_host):
        """What the guest's next start would mount, which is what it has now if it is on."""

        def folders(instance, *options):
            domain = f"kilonova-{instance.uuid}"
            text = libvirt_host.run("virsh", "dumpxml", *options, domain)
            return {
                Path(each.find("source").get("dir"), "name").read_text()
                for each in ET.fromstring(text).findall("devices/filesystem")
            }

        def has(instance):
            if f"kilonova-{instance.uuid}" not in libvirt_host.run("virsh", "list", "--all"):
                return set(mounts_below(libvirt_host))
            now, later = folders(instance), folders(instance, "--inactive")
            assert now == later
            return now

        return has

    def test_a_guest_that_is_on_is_served_the_folder_by_its_tag(self, driver, off, make_share):
        share = make_share()
        driver.attach_share(off, share)
        driver.power_on(with_shares(off, share))

        served = subprocess.run(
            ["pgrep", "-a", "virtiofsd"], capture_output=True, text=True, check=True
        ).stdout

        assert off.uuid in served

    def test_a_share_that_cannot_be_mounted_is_named(self, driver, off, make_share):
        share = msgspec.structs.replace(make_share(), export_location="/does/not/exist")

        with pytest.raises(HypervisorError, match=f"share {share.share_id} cannot be mounted"):
            driver.attach_share(off, share)
        driver.detach_share(off, share)

    def test_a_host_that_restarted_mounts_shares_anew(self, driver, off, make_share, libvirt_host):
        share = make_share()
        driver.attach_share(off, share)
        before = mounts_below(libvirt_host)
        unmount(*before)

        driver.power_on(with_shares(off, share))

        assert mounts_below(libvirt_host) == before != []

    def test_a_server_is_deleted_after_its_host_restarted(
        self, driver, off, make_share, libvirt_host
    ):
        driver.attach_share(off, make_share())
        unmount(*mounts_below(libvirt_host))

        driver.destroy(off)

        assert not (libvirt_host.folder / "guests" / "shares" / off.uuid).exists()

    def test_a_daemon_killed_after_the_mount_leaves_nothing_of_a_deleted_server(
        self, driver, off, make_share, libvirt_host
    ):
        # all that is known of it is what the kernel has mounted
        Shares(libvirt_host.folder / "guests" / "shares", "bind").mount(off.uuid, make_share())
        assert mounts_below(libvirt_host) != []

        driver.destroy(off)

        assert mounts_below(libvirt_host) == []


def unmount(*folders):
    """As the end of a host does."""
    subprocess.run(["umount", *folders], check=True)


def test_a_host_whose_libvirt_does_not_see_its_mounts_has_no_shares(make_driver, libvirt_host):
    # the tests' libvirtd is in a mount namespace of its own, which is told of one folder
    driver = make_driver(state_folder=libvirt_host.folder / "guests" / "elsewhere")
    driver.start(lambda _: None)

    assert HOST_TRAIT not in driver.inventory().traits
    with pytest.raises(NotSupported):
        driver.attach_share(make_instance(), a_share())


def test_a_share_of_another_protocol_is_refused(tmp_path):
    share = a_share(protocol="CEPHFS")

    with pytest.raises(NotSupported, match="CEPHFS"):
        Shares(tmp_path).mount("instance", share)

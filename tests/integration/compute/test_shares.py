# SPDX-License-Identifier: Apache-2.0
"""Volumes on a share that is mounted, by os-brick itself.

The kernel of test machines has no NFS: a file system in memory is mounted under the share's name,
where os-brick finds it mounted already.
"""

import os
import subprocess
from pathlib import Path

import pytest
from os_brick.remotefs.remotefs import RemoteFsClient

from common.errors import VolumeUnreachable
from tests.contracts.drivers.volumes import make_mapping
from tests.integration import leaks
from tests.integration.compute.volumes import make_volumes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system"),
]
SHARE = "192.0.2.1:/volumes"
ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def share(tmp_path):
    """The share, mounted where os-brick would."""
    client = RemoteFsClient("nfs", "", nfs_mount_point_base=str(tmp_path / "mnt"))
    folder = Path(client.get_mount_point(SHARE))
    folder.mkdir(parents=True)
    before = leaks.traces(folders=[folder])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", SHARE, folder], check=True)
    yield folder
    assert leaks.left(before, leaks.traces(folders=[folder])) == {}


def on_share(name, **data):
    data = {"export": SHARE, "name": name, **data}
    return make_mapping(connection={"driver_volume_type": "nfs", "data": data})


def test_a_share_stays_mounted_as_long_as_a_volume_of_it_is_used(tmp_path, share):
    volumes = make_volumes(tmp_path, "here")
    disks = [on_share("volume-1"), on_share("volume-2", format="qcow2")]
    for name in ("volume-1", "volume-2"):
        (share / name).write_bytes(b"data")

    sources = [volumes.connect(i, d) for i, d in zip((ONE, TWO), disks, strict=True)]

    assert [(Path(s.path), s.format, s.is_on_share) for s in sources] == [
        (share / "volume-1", "raw", True), (share / "volume-2", "qcow2", True),
    ]  # fmt: skip
    volumes.disconnect(ONE, disks[0].volume_id)
    assert (share / "volume-2").exists()
    volumes.disconnect(TWO, disks[1].volume_id)
    assert not share.exists()


def test_a_volume_that_its_share_does_not_have_is_named(tmp_path, share):
    volumes = make_volumes(tmp_path, "here")

    with pytest.raises(VolumeUnreachable, match=f"there is nothing at {share}/volume-1"):
        volumes.connect(ONE, on_share("volume-1"))

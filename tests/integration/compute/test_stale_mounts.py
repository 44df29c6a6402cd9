# SPDX-License-Identifier: Apache-2.0
"""A mounted file system whose server is gone: here, one of FUSE that nobody serves."""

import ctypes
import os
from pathlib import Path

import pytest

from common.errors import HypervisorError
from common.objects.share_mapping import ShareMapping
from services.compute import mounts
from services.compute.shares import Shares
from tests.integration.compute.volumes import make_volumes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs FUSE"),
]
SHARE = ShareMapping(uuid="m", share_id="gone", tag="t", export_location="nas:/gone")
SOON_S = 0.5


@pytest.fixture
def shares(tmp_path):
    make_volumes(tmp_path, "here")  # sets os-brick up for the whole process
    return Shares(tmp_path / "shares")


@pytest.fixture
def stale(shares):
    """The share's mount, which waits for an answer that does not come."""
    folder = Path(shares._client(shares.folder / "guest").get_mount_point(SHARE.export_location))
    folder.mkdir(parents=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"nas:/gone", str(folder).encode(), b"fuse", 0, data) == 0
    yield folder
    os.close(device)
    libc.umount2(str(folder).encode(), 2)


def test_a_share_whose_server_is_gone_is_an_error_in_time(shares, stale, monkeypatch):
    monkeypatch.setattr(mounts, "ANSWER_S", SOON_S)

    with pytest.raises(HypervisorError, match="share gone does not answer"):
        shares.mount("guest", SHARE)


def test_a_share_whose_server_is_gone_is_unmounted(shares, stale, monkeypatch):
    monkeypatch.setattr(mounts, "ANSWER_S", SOON_S)

    shares.unmount_all("guest")

    assert str(stale) not in mounts.mount_points()
    assert not (shares.folder / "guest").exists()

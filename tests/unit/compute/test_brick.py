# SPDX-License-Identifier: Apache-2.0
"""os-brick itself, as far as it goes without storage of its own."""

import subprocess
import sys

import pytest

from common.errors import VolumeUnreachable
from services.compute.brick import Brick, BrickSettings, in_words
from services.compute.volumes import Volumes
from tests.contracts.drivers.volumes import VolumeFolder, make_mapping

INSTANCE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def brick(tmp_path):
    return Brick(
        BrickSettings(
            host="compute-7",
            host_ip="192.0.2.7",
            lock_path=tmp_path / "locks",
            mount_path=tmp_path / "mnt",
            device_scan_attempts=1,
        )
    )


@pytest.fixture
def volumes(tmp_path, brick):
    return Volumes(tmp_path / "records", brick)


def test_the_host_is_described_once(brick):
    told = brick.host_properties()

    assert (told["host"], told["ip"], told["multipath"]) == ("compute-7", "192.0.2.7", False)
    assert told["os_type"].startswith("linux")
    told["host"] = "somebody else"
    assert brick.host_properties()["host"] == "compute-7"


def test_a_local_volume_is_where_it_says(volumes, tmp_path):
    disk = VolumeFolder(tmp_path).make()

    source = volumes.connect(INSTANCE, disk)

    assert (source.kind, source.path, source.format) == (
        "file", disk.connection["data"]["device_path"], "raw",
    )  # fmt: skip
    volumes.disconnect(INSTANCE, disk.volume_id)
    assert (tmp_path / f"volume-{disk.volume_id}").exists()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("iscsi", {"target_portal": "127.0.0.1:1", "target_iqn": "iqn.x", "target_lun": 1,
                   "auth_method": "CHAP", "auth_username": "u", "auth_password": "s3kr1t"}),
        ("fibre_channel", {"target_wwn": ["1"], "target_lun": 1}),
        ("nfs", {"name": "volume-1"}),
        ("local", {}),
        ("local", {"device_path": "/nowhere"}),
    ],
)  # fmt: skip
def test_what_os_brick_cannot_do_is_said_in_a_line_and_leaves_nothing(
    volumes, tmp_path, kind, data
):
    disk = make_mapping(connection={"driver_volume_type": kind, "data": data})

    with pytest.raises(VolumeUnreachable) as refused:
        volumes.connect(INSTANCE, disk)

    said = str(refused.value)
    assert disk.volume_id in said
    assert len(said) < 600
    assert "\n" not in said
    assert "s3kr1t" not in said
    assert list((tmp_path / "records").iterdir()) == []


def test_words_of_a_failure_are_few():
    assert len(in_words(ValueError("x " * 5000))) < 500


def test_os_brick_brings_no_eventlet():
    code = (
        "import services.compute.brick, sys; "
        "print(sorted(m for m in sys.modules if m.startswith('eventlet') and sys.modules[m]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

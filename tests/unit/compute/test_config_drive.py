# SPDX-License-Identifier: Apache-2.0
"""Config drives hold what the metadata service shows, but no password file."""

import base64
import json
import shutil
import subprocess

import pytest

from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata
from common.objects.injected_file import InjectedFile
from services.compute import config_drive
from tests.contracts.drivers.instances import make_instance

SETTINGS = TreeSettings(random_bytes=bytes)


def guest(**values):
    return GuestMetadata(instance=make_instance(**values))


def test_every_version_is_there_and_no_password_file():
    tree = config_drive.tree(guest(), SETTINGS)

    assert "openstack/2012-08-10/meta_data.json" in tree
    assert "openstack/latest/network_data.json" in tree
    assert "ec2/latest/meta-data.json" in tree
    assert not [path for path in tree if path.endswith("password")]
    assert not [path for path in tree if "user" in path]


def test_user_data_is_there_decoded_when_there_is_any():
    tree = config_drive.tree(guest(user_data=base64.b64encode(b"#!/bin/sh\n").decode()), SETTINGS)

    assert tree["openstack/latest/user_data"] == b"#!/bin/sh\n"
    assert tree["ec2/2009-04-04/user-data"] == b"#!/bin/sh\n"


def test_the_administrators_password_is_told_on_the_drive_only():
    tree = config_drive.tree(guest(admin_password="s3cret"), SETTINGS)

    assert json.loads(tree["openstack/latest/meta_data.json"])["admin_pass"] == "s3cret"


def test_injected_files_are_on_the_drive_and_named():
    files = (InjectedFile(path="/etc/motd", contents=base64.b64encode(b"hello").decode()),)

    tree = config_drive.tree(guest(injected_files=files), SETTINGS)

    assert json.loads(tree["openstack/latest/meta_data.json"])["files"] == [
        {"path": "/etc/motd", "content_path": "/content/0000"}
    ]
    assert tree["openstack/content/0000"] == b"hello"


@pytest.mark.skipif(shutil.which("isoinfo") is None, reason="needs isoinfo")
def test_an_iso_has_the_label_and_the_files(tmp_path):
    drive = tmp_path / "disk.config"

    config_drive.write(drive, guest(), SETTINGS, "iso9660")
    config_drive.write(drive, guest(), SETTINGS, "iso9660")

    listing = read("isoinfo", "-d", "-i", drive) + read("isoinfo", "-J", "-f", "-i", drive)
    assert "Volume id: config-2" in listing
    assert "/openstack/latest/meta_data.json" in listing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.config"]


@pytest.mark.skipif(shutil.which("mdir") is None, reason="needs mtools")
def test_a_vfat_drive_has_the_label_and_the_files(tmp_path):
    drive = tmp_path / "disk.config"

    config_drive.write(drive, guest(), SETTINGS, "vfat")

    assert "config-2" in read("mlabel", "-i", drive, "-s", "::").lower()
    document = read("mtype", "-i", drive, "::/openstack/latest/meta_data.json")
    assert json.loads(document)["name"] == "web"


def read(*command):
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout

# SPDX-License-Identifier: Apache-2.0
"""Whether libvirt sees what this host mounts for its guests."""

import os
import socket
from pathlib import Path

import pytest

from services.compute.mounts import are_seen_by_libvirt

FOLDER = Path("/state/shares")
MACHINES_OWN = "qemu:///system"
ROOT = "20 1 254:0 / / rw - ext4 /dev/vda rw"
SHARED = "30 20 254:0 /state/shares /state/shares rw shared:5 - ext4 /dev/vda rw"
SLAVE = "90 80 254:0 /state/shares /state/shares rw master:5 - ext4 /dev/vda rw"


def add(proc, pid, comm, namespace, *mounts):
    (proc / pid / "ns").mkdir(parents=True)
    (proc / pid / "comm").write_text(comm + "\n")
    (proc / pid / "mountinfo").write_text("\n".join(mounts))
    if namespace:
        (proc / pid / "ns" / "mnt").symlink_to(namespace)


@pytest.mark.parametrize(
    ("processes", "seen"),
    [
        ({}, False),
        ({"1": ("systemd", "here")}, False),
        ({"2": ("libvirtd", "here")}, True),
        ({"2": ("virtqemud", "here"), "3": ("bash", "there")}, True),
        ({"2": ("libvirtd", "there")}, False),
        ({"2": ("libvirtd", "here"), "3": ("libvirtd", "there")}, False),
        ({"2": ("libvirtd", None)}, False),
    ],
)
def test_mounts_are_seen_by_a_libvirt_that_is_where_they_are(tmp_path, processes, seen):
    for pid, its in {"self": ("kilonova", "here"), **processes}.items():
        add(tmp_path, pid, *its)

    assert are_seen_by_libvirt(FOLDER, MACHINES_OWN, tmp_path) is seen


@pytest.mark.parametrize(
    ("ours", "its", "seen"),
    [
        ([ROOT, SHARED], [ROOT, SLAVE], True),
        ([ROOT, SHARED], [ROOT, SHARED], True),
        ([ROOT, SHARED], [ROOT], False),
        ([ROOT, SHARED], [ROOT, SLAVE.replace(":5", ":6")], False),
        ([ROOT], [ROOT, SLAVE], False),
        # ours follows, and tells nobody
        ([ROOT, SLAVE], [ROOT, SHARED], False),
        # something else lies on it
        ([ROOT, SHARED], [ROOT, SLAVE, SLAVE.replace(" master:5", "")], False),
        # it is there under another path
        ([ROOT, SHARED], [ROOT, SLAVE.replace("/state/shares rw", "/state rw")], False),
    ],
)
def test_mounts_are_seen_by_a_libvirt_elsewhere_that_is_told_of_them(tmp_path, ours, its, seen):
    add(tmp_path, "self", "kilonova", "here", *ours)
    add(tmp_path, "2", "libvirtd", "there", *its)

    assert are_seen_by_libvirt(FOLDER, MACHINES_OWN, tmp_path) is seen


def test_of_several_daemons_the_one_that_listens_counts(tmp_path):
    add(tmp_path, "self", "kilonova", "here")
    add(tmp_path, "2", "libvirtd", "there")
    add(tmp_path, str(os.getpid()), "libvirtd", "here")
    uri = f"qemu+unix:///system?socket={tmp_path}/s"

    assert not are_seen_by_libvirt(FOLDER, uri, tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/s")
        listening.listen()
        assert are_seen_by_libvirt(FOLDER, uri, tmp_path)

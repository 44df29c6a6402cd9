# SPDX-License-Identifier: Apache-2.0
"""Whether libvirt sees what this host mounts for its guests."""

import pytest

from services.compute.shares import are_seen_by_libvirt


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
    for pid, (comm, mounts) in {"self": ("kilonova", "here"), **processes}.items():
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(comm + "\n")
        if mounts:
            (tmp_path / pid / "ns" / "mnt").symlink_to(mounts)

    assert are_seen_by_libvirt(tmp_path) is seen

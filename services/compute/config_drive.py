# SPDX-License-Identifier: Apache-2.0
"""The config drive: a small read-only disk with the metadata trees, for guests without network."""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from common.errors import HypervisorError
from common.guest_metadata import ec2_tree, openstack_tree
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.guest_metadata import GuestMetadata
from common.space import NO_SPACE, disk_full

LABEL = "config-2"  # what guests look for
_VFAT_MIB = 64
_TIMEOUT_S = 60


def write(path: Path, guest: GuestMetadata, settings: TreeSettings, drive_format: str) -> None:
    """Make the drive in `path`; it is there whole or not at all. Again: it is made anew.

    `drive_format` is iso9660 or vfat. Raises: DiskFull, HypervisorError.
    """
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="config-") as folder:
            for name, content in tree(guest, settings).items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            if drive_format == "vfat":
                _make_vfat(Path(folder), part)
            else:
                _make_iso9660(Path(folder), part)
        part.chmod(0o600)  # it may hold a password
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def tree(guest: GuestMetadata, settings: TreeSettings) -> dict[str, bytes]:
    """The drive's files by path. There is no `password` file: a guest could not write it."""
    files: dict[str, bytes] = {}
    for version in (*openstack_tree.VERSIONS, openstack_tree.LATEST):
        for name in openstack_tree.file_names(guest, version, settings):
            content = openstack_tree.file_content(guest, version, name, settings)
            if name != "password" and content is not None:
                files[f"openstack/{version}/{name}"] = content
        document = openstack_tree.meta_data(
            guest, version, settings, admin_password=guest.instance.admin_password
        )
        files[f"openstack/{version}/meta_data.json"] = json.dumps(document).encode()
    for number, file in enumerate(guest.instance.injected_files):
        files[f"openstack{openstack_tree.content_path(number)}"] = base64.b64decode(file.contents)
    user_data = openstack_tree.user_data(guest)
    for version in ec2_tree.CONFIG_DRIVE_VERSIONS:
        ec2 = ec2_tree.meta_data(guest, version, settings)
        files[f"ec2/{version}/meta-data.json"] = json.dumps(ec2).encode()
        if user_data is not None:
            files[f"ec2/{version}/user-data"] = user_data
    return files


def _make_iso9660(folder: Path, target: Path) -> None:
    _run(
        "genisoimage", "-quiet", "-o", str(target), "-ldots", "-allow-lowercase",
        "-allow-multidot", "-l", "-publisher", "kilonova", "-J", "-r", "-V", LABEL, str(folder),
    )  # fmt: skip


def _make_vfat(folder: Path, target: Path) -> None:
    with target.open("wb") as file:
        file.truncate(_VFAT_MIB << 20)
    _run("mformat", "-i", str(target), "-v", LABEL, "-F", "::")
    _run("mcopy", "-s", "-Q", "-i", str(target), *map(str, sorted(folder.iterdir())), "::")


def _run(program: str, *arguments: str) -> None:
    if shutil.which(program) is None:
        raise HypervisorError(reason=f"{program} is not installed; it makes config drives")
    done = subprocess.run(
        [program, *arguments],
        capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode and any(words in done.stderr for words in NO_SPACE):
        written = next(word for word in arguments if word.startswith("/"))
        raise disk_full("the config drive", Path(written), 0)
    if done.returncode:
        raise HypervisorError(reason=f"{program} could not make the config drive: {done.stderr}")

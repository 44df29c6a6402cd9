# SPDX-License-Identifier: Apache-2.0
"""The user whom daemons run as that need no right of root's, and what belongs to it."""

import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from deploy.bringup.commands import run, succeeds
from deploy.bringup.paths import Paths

# Of the folders below the state folder, those that daemons write to.
_FOLDERS = (
    "companion", "companion/images", "compute", "fake", "images", "instances", "lxc", "operations",
    "snapshots",
)  # fmt: skip


def ensure(name: str, paths: Paths, groups: Sequence[str] = ()) -> None:
    """Make the user, in those of the groups that exist, and give it its folders.

    Again: what root has left in the folders meanwhile is given to it, too.
    """
    if not succeeds("getent", "passwd", name):
        run("useradd", "--system", "--user-group", "--home-dir", paths.state,
            "--no-create-home", "--shell", "/usr/sbin/nologin", name)  # fmt: skip
    for group in groups:
        if succeeds("getent", "group", group):
            # polkit asks what groups a user has, not what groups a process was given.
            run("usermod", "--append", "--groups", group, name)
    for folder in (paths.state / each for each in _FOLDERS):
        folder.mkdir(mode=0o755, exist_ok=True)
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, name, name)


def hand_over(name: str, files: Sequence[Path]) -> None:
    """Let the daemons, and nobody else, read files that root wrote."""
    for file in files:
        shutil.chown(file, name, name)


def remove(name: str) -> None:
    """Remove the user. Again: nothing happens."""
    if succeeds("getent", "passwd", name):
        run("userdel", name)


def closed_folder(*wanted: Path) -> Path | None:
    """The first folder on the way to one of these that other users cannot pass; None: all can."""
    for path in wanted:
        for folder in reversed((path.resolve() / "x").parents):
            if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None

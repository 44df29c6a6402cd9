# SPDX-License-Identifier: Apache-2.0
"""What is looked at before anything is changed."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from deploy.bringup import processes
from deploy.bringup.failures import Failed

_GIB = 1 << 30


def need_root() -> None:
    """Raises: Failed."""
    if os.geteuid() != 0:
        raise Failed("Run this as root, for instance with sudo.")


def need_space(folder: Path, gib: float) -> None:
    """Raises: Failed when the file system of `folder`, which need not exist yet, is too full."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_gib = shutil.disk_usage(there).free / _GIB
    if free_gib < gib:
        raise Failed(
            f"{there} has {free_gib:.1f} GiB left, {gib:.1f} GiB are needed. "
            "Free some, or put the cloud elsewhere with --prefix."
        )


def need_short_path(folder: Path, most: int) -> None:
    """Raises: Failed when the path has more characters than `most`."""
    length = len(str(folder))
    if length > most:
        raise Failed(
            f"{folder} is too long a path for containers: it may have {most} characters. "
            f"Choose a --prefix that is shorter by {length - most}."
        )


def need_ports(ports: Iterable[tuple[str, int]], is_ours: Callable[[str], bool]) -> None:
    """Raises: Failed, with who has the port, when one is taken and not by our own program."""
    taken = [
        f"Port {port}, for {name}, is taken by {who}."
        for name, port in ports
        if not is_ours(name) and (who := processes.listener(port))
    ]
    if taken:
        raise Failed(
            "\n".join(taken) + "\nEnd that process, or choose another port: "
            f"deploy/up --port {taken[0].split('for ')[1].split(',')[0]}=PORT"
        )

# SPDX-License-Identifier: Apache-2.0
"""Room on this host's disks: what is said when there is none left."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import DiskFull

# What programs print, where the system has not told us itself.
NO_SPACE = ("No space left", "Disk quota exceeded")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(failed: OSError) -> bool:
    """Whether it is the system's word for a full disk."""
    return failed.errno in _FULL


def free_bytes(path: Path) -> int:
    """What is left for files at `path`, or where it would be."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def disk_full(what: str, path: Path, need_bytes: int) -> DiskFull:
    """The error that says how much is left at `path`, and how much `what` needs."""
    return DiskFull(
        what=what, free_mib=free_bytes(path) >> 20, need_mib=max(1, -(-need_bytes // (1 << 20)))
    )


@contextlib.contextmanager
def full_disk_is_said(what: str, path: Path, need_bytes: int = 0) -> Iterator[Any]:
    """Turn the system's word for a full disk into DiskFull."""
    try:
        yield
    except OSError as failed:
        if not is_full(failed):
            raise
        raise disk_full(what, path, need_bytes) from failed

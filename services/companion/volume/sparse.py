# SPDX-License-Identifier: Apache-2.0
"""Copying files that are mostly holes: shared where the file system can, else hole by hole."""

import errno
import fcntl
import os
import threading
from pathlib import Path

from services.companion.volume.jobs import Interrupted

_FICLONE = 0x40049409
_CANNOT_SHARE = (
    errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM,
)  # fmt: skip
_CHUNK_BYTES = 16 << 20


def copy(source: int, target: int, stopping: threading.Event) -> bool:
    """Copy one open file to another that is empty; whether that took but a moment.

    With reflinks both files share their blocks until either changes, and the copy is of one moment
    whatever is written meanwhile. Raises: OSError, Interrupted.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return True
    except OSError as refused:
        if refused.errno not in _CANNOT_SHARE:
            raise
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    for begin, end in _data(source, size):
        _copy_range(source, target, begin, end, stopping)
    return False


def create(path: Path, size: int) -> None:
    """A file of zeros that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def _data(source: int, size: int) -> list[tuple[int, int]]:
    """Where the file has data."""
    found: list[tuple[int, int]] = []
    begin = 0
    while begin < size:
        try:
            begin = os.lseek(source, begin, os.SEEK_DATA)
        except OSError as none_left:
            if none_left.errno == errno.ENXIO:
                break
            raise
        end = os.lseek(source, begin, os.SEEK_HOLE)
        found.append((begin, min(end, size)))
        begin = end
    return found


def _copy_range(source: int, target: int, begin: int, end: int, stopping: threading.Event) -> None:
    position = begin
    while position < end:
        if stopping.is_set():
            raise Interrupted
        most = min(_CHUNK_BYTES, end - position)
        done = _copy_some(source, target, position, most)
        if not done:
            return  # the source became shorter
        position += done


def _copy_some(source: int, target: int, position: int, most: int) -> int:
    try:
        return os.copy_file_range(source, target, most, position, position)
    except OSError as refused:
        if refused.errno not in _CANNOT_SHARE:
            raise
    return os.pwrite(target, os.pread(source, most, position), position)

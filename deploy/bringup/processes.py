# SPDX-License-Identifier: Apache-2.0
"""What /proc tells: a process's descendants, age and memory, and who listens on a port."""

import os
import time
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"


def with_descendants(pid: int) -> list[int]:
    """The process and all below it; empty when it is gone."""
    if not pid or not (_PROC / str(pid)).exists():
        return []
    found, queue = [], [pid]
    while queue:
        current = queue.pop(0)
        found.append(current)
        queue += _children(current)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for file in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            children += map(int, file.read_text().split())
        except OSError:
            continue
    return children


def memory_mib(pids: list[int]) -> float:
    """Memory of the processes, what they share counted once (PSS); resident where not allowed."""
    return round(sum(map(_memory_kib, pids)) / 1024, 1)


def _memory_kib(pid: int) -> int:
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = (_PROC / str(pid) / name).read_text().splitlines()
        except OSError:
            continue
        values = [int(line.split()[1]) for line in lines if line.startswith(key)]
        if values:
            return values[0]
    return 0


def up_s(pid: int) -> float:
    """Seconds since the process started; 0 when it is gone."""
    try:
        # the name may hold blanks and brackets: count from behind the last one
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)


def listener(port: int) -> str | None:
    """Who listens on a TCP port of this network namespace: `name (pid n)`; None when nobody."""
    inodes = {
        fields[9]
        for file in ("net/tcp", "net/tcp6")
        for fields in map(str.split, _lines(_PROC / "self" / file)[1:])
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
    }
    if not inodes:
        return None
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in _PROC.glob("[0-9]*"):
        if targets & _open_files(process):
            name = (process / "comm").read_text().strip()
            return f"{name} (pid {process.name})"
    return "a process of another container or user"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _open_files(process: Path) -> set[str]:
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            found.add(os.readlink(descriptor))
    except OSError:
        pass
    return found

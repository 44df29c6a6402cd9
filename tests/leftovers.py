# SPDX-License-Identifier: Apache-2.0
"""What a test run left on the machine, looked for when all its processes should be gone.

Only what is the run's own counts (`tests.ours`): other runs, clouds and users of the machine come
and go meanwhile.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests import ours

# What was killed takes a moment to be gone, on a machine that may be busy.
_GONE_WITHIN_S = 15.0


def find(words_file: Path, *, within_s: float = _GONE_WITHIN_S) -> list[str]:
    """What is still there after a while, a line each; empty when nothing is."""
    words = frozenset(words_file.read_text().split())
    deadline = time.monotonic() + within_s
    while (left := _look(words_file, words)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _look(words_file: Path, words: frozenset[str]) -> list[str]:
    left = [f"process {line}" for line in _processes(words_file, words)]
    for kind, things in _KINDS.items():
        left += [f"{kind} {thing}" for thing in things() if _has_any(thing, words)]
    return sorted(left)


def _has_any(text: str, words: Iterable[str]) -> bool:
    return any(word in text for word in words)


def _processes(words_file: Path, words: frozenset[str]) -> Iterator[str]:
    """Those that were started by the run, and those that work on something of it."""
    mark = f"{ours.VARIABLE}={words_file}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            is_ours = mark in (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if command and (is_ours or _has_any(command, words)):
            yield f"{folder.name}: {command[:200]}"


def _names(*patterns: str) -> Callable[[], list[str]]:
    """Looks for paths by pattern."""
    return lambda: [str(p) for pattern in patterns for p in Path("/").glob(pattern.lstrip("/"))]


def _contents(pattern: str, parent: int) -> Callable[[], list[str]]:
    """Looks into files by pattern; each with the name of the device that it tells about."""

    def look() -> list[str]:
        found = []
        for path in Path("/").glob(pattern.lstrip("/")):
            try:
                found.append(f"{path.parents[parent].name} of {path.read_text().strip()}")
            except OSError:
                continue
        return found

    return look


def _servers_of_block_devices() -> list[str]:
    """Network block devices that are in use, by who serves them."""
    found = []
    for path in Path("/sys/block").glob("nbd*/pid"):
        try:
            server = Path("/proc", path.read_text().strip(), "cmdline").read_bytes()
        except OSError:
            continue
        found.append(f"{path.parent.name} of {server.replace(bytes(1), b' ').decode()}")
    return found


def _mounts() -> list[str]:
    # Network namespaces are mounts, too, and are looked for by themselves.
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if not line.startswith("nsfs ")]


def _rule_tables() -> list[str]:
    if shutil.which("nft") is None or os.geteuid() != 0:
        return []
    said = subprocess.run(
        ["nft", "-j", "list", "tables"], capture_output=True, text=True, timeout=30, check=True
    )
    tables = (item["table"] for item in json.loads(said.stdout)["nftables"] if "table" in item)
    return [f"{table['family']} {table['name']}" for table in tables]


# Leases and guests' disks are files in the folders; guests are processes.
_KINDS: dict[str, Callable[[], list[str]]] = {
    "folder": _names("/tmp/kn-*"),
    "network namespace": _names("/run/netns/*"),
    "network device": _names("/sys/class/net/*"),
    "firewall table": _rule_tables,
    "mount": _mounts,
    "loop device": _contents("/sys/block/loop*/loop/backing_file", 1),
    "network block device": _servers_of_block_devices,
    "iSCSI target's disk": _contents("/sys/kernel/config/target/core/*/*/udev_path", 0),
    "control group": _names("/sys/fs/cgroup/*", "/sys/fs/cgroup/*/*"),
}

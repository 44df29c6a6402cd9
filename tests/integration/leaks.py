# SPDX-License-Identifier: Apache-2.0
"""What a host has that outlives a process: taken before and after tests, to see what they left.

The machine's mounts, loop and nbd devices are looked at, and, of private libvirtds, their guests,
storage pools, network devices, firewall rules and processes. What belongs to other tests, which run
beside these, does not count; `tests.leftovers` looks for all of it when everything is over.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

Run = Callable[..., str]
# The last process of a guest that was destroyed ends a moment later.
_GONE_WITHIN_S = 10.0


class Host(Protocol):
    """A private libvirtd."""

    name: str
    folder: Path

    def run(self, *command: str) -> str:
        """Run a command among its devices and processes; its output."""


@contextmanager
def nothing_of(*hosts: Host) -> Iterator[None]:
    """Fails when hosts that are about to be stopped have more than they had at first."""
    before = {host.name: of_host(host) for host in hosts}
    yield
    deadline = time.monotonic() + _GONE_WITHIN_S
    for host in hosts:
        while (more := left(before[host.name], of_host(host))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not more, f"left on {host.name} by the tests before: {more}"


def of_host(host: Host) -> dict[str, set[str]]:
    """What a private libvirtd has: guests and all that belongs to them."""
    guests = host.folder / "guests"
    kept = [path for name in ("instances", "volumes", "mnt") for path in guests.glob(f"{name}/*")]
    return {
        f"files of {host.name}": {str(path) for path in kept},
        **_of_libvirt(host),
    }


def traces(hosts: Iterable[Host] = (), folders: Iterable[Path] = ()) -> dict[str, set[str]]:
    """What is there now, by kind; `folders` are those whose files count.

    What belongs to others' temporary folders or network namespaces comes and goes, and does not.
    """
    hosts, folders = tuple(hosts), tuple(folders)
    ours = [str(path) for path in (*(host.folder for host in hosts), *folders)]
    found = {
        "mounts": {mount for mount in _mounts() if not _is_anothers(mount, ours)},
        "block devices": {disk for disk in _block_devices() if not _is_anothers(disk, ours)},
        "files": {str(path) for folder in folders for path in folder.rglob("*")},
    }
    for host in hosts:
        found |= _of_libvirt(host)
    return found


def _of_libvirt(host: Host) -> dict[str, set[str]]:
    processes = host.run("ps", "-e", "-o", "args=").splitlines()
    return {
        f"guests of {host.name}": set(host.run("virsh", "list", "--all", "--name").split()),
        f"pools of {host.name}": set(host.run("virsh", "pool-list", "--all", "--name").split()),
        f"network devices of {host.name}": _links(host.run),
        f"firewall rules of {host.name}": _rules(host.run),
        f"processes of {host.name}": {
            line.split(",")[0] for line in processes if line.startswith(("/usr/bin/qemu", "swtpm"))
        },
    }


def left(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is there now and was not before, by kind; nothing where nothing was left."""
    more = {kind: things - before.get(kind, set()) for kind, things in after.items()}
    return {kind: things for kind, things in more.items() if things}


def _is_anothers(thing: str, ours: Iterable[str]) -> bool:
    # The folder itself is mounted, once, by the first who makes a network namespace.
    if thing == "/run/netns" or thing.startswith("/run/netns/"):
        return True
    return tempfile.gettempdir() in thing and not any(folder in thing for folder in ours)


def _mounts() -> set[str]:
    return {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}


def _block_devices() -> set[str]:
    """Loop devices that have a file, and network block devices that have a server."""
    loops = set()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # it has lost its file since
            loops.add(f"{path.parent.parent.name} of {path.read_text().strip()}")
    return loops | {path.parent.name for path in Path("/sys/block").glob("nbd*/pid")}


def _links(run: Run) -> set[str]:
    shown = run("ip", "-o", "link", "show").splitlines()
    return {line.split(": ")[1].partition("@")[0] for line in shown}


def _rules(run: Run) -> set[str]:
    if shutil.which("nft") is None:
        return set()
    # Counters change by themselves.
    return {
        re.sub(r"packets \d+ bytes \d+", "", line).strip()
        for line in run("nft", "list", "ruleset").splitlines()
    }

# SPDX-License-Identifier: Apache-2.0
"""What is mounted on this host for its guests: who sees it, whether it answers, how it goes."""

import logging
import os
import signal
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from os_brick import exception
from os_brick.privileged import rootwrap

LOG = logging.getLogger(__name__)

# A server that is gone lets programs wait for as long as they like.
MOUNT_S = 60
ANSWER_S = 30
_DAEMONS = ("libvirtd", "virtqemud")


def mount_points() -> set[str]:
    """Where something is mounted on this host."""
    return {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}


def execute(*command: str, timeout: float = MOUNT_S, **options: Any) -> tuple[str, str]:
    """os-brick's way to run a program, which is killed when it takes too long.

    Raises: ProcessExecutionError, ExecutionTimeout (one of these).
    """
    done: tuple[str, str] = rootwrap.execute(
        *command, timeout=timeout, signal=signal.SIGKILL, **options
    )
    return done


def answers(folder: Path) -> bool:
    """Whether the file system there answers; asked by a program, which may be killed.

    Raises: ProcessExecutionError (it answers with an error, such as a stale handle).
    """
    try:
        execute("stat", "--file-system", str(folder), timeout=ANSWER_S, run_as_root=True)
    except exception.ExecutionTimeout:
        return False
    return True


def unmount(folder: Path) -> None:
    """Unmount what is there, though its server may be gone. Again: nothing is.

    Raises: ProcessExecutionError.
    """
    if str(folder) not in mount_points():
        return
    try:
        execute("umount", str(folder), timeout=ANSWER_S, run_as_root=True)
    except exception.ExecutionTimeout:
        LOG.warning("The server of %s does not answer: it is unmounted by force", folder)
        execute("umount", "--force", "--lazy", str(folder), timeout=ANSWER_S, run_as_root=True)


def are_seen_by_libvirt(folder: Path, uri: str, proc: Path = Path("/proc")) -> bool:
    """Whether what this process mounts below `folder` is there for libvirt at `uri`, too.

    Else a guest would be shown an empty folder. It is where libvirt's daemon is in this process's
    mount namespace, or has of it, under the same path, the mount that the folder is on, in a peer
    group, so that the kernel hands on what is mounted there. A daemon that cannot be looked at
    does not see it. Where `uri` names no socket all of the machine's daemons count.
    """
    daemons = _daemons(uri, proc)
    ours = proc / "self"
    return bool(daemons) and all(
        _namespace(each) == _namespace(ours) != "" or _is_handed_on(ours, each, folder)
        for each in daemons
    )


def _daemons(uri: str, proc: Path) -> list[Path]:
    path = parse_qs(urlsplit(uri).query).get("socket")
    if not path:
        return [each for each in proc.glob("[0-9]*") if _comm(each) in _DAEMONS]
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(path[0])
        except OSError:
            return []
        size = struct.calcsize("3i")
        peer = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return [proc / str(peer[0])]


def _comm(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return ""  # it has just ended


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "mnt")
    except OSError:
        return ""


@dataclass(frozen=True)
class _Mount:
    """A line of mountinfo; `sends_to` and `gets_from` are peer groups, empty for none."""

    root: str
    point: str
    sends_to: str
    gets_from: str


def _is_handed_on(ours: Path, other: Path, folder: Path) -> bool:
    mine, its = _mount_of(ours, folder), _mount_of(other, folder)
    if mine is None or its is None or not mine.sends_to:
        return False
    is_same = (mine.root, mine.point) == (its.root, its.point)
    return is_same and mine.sends_to in (its.sends_to, its.gets_from)


def _mount_of(process: Path, folder: Path) -> _Mount | None:
    """The mount that `folder` is on for a process; None where that cannot be known."""
    try:
        lines = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return None
    found: _Mount | None = None
    for line in lines:
        fields = line.split(" - ")[0].split()
        groups = dict(word.split(":") for word in fields[6:] if ":" in word)
        mount = _Mount(fields[3], fields[4], groups.get("shared", ""), groups.get("master", ""))
        # one over another comes after it
        if folder.is_relative_to(mount.point) and (
            found is None or Path(mount.point).is_relative_to(found.point)
        ):
            found = mount
    return found

# SPDX-License-Identifier: Apache-2.0
"""Disk files and the programs that work on them.

The format is always said, never found out: the content of a raw disk is its guest's, which may
write there what looks like another format that names files of the host.
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path

from common.errors import HypervisorError
from common.space import NO_SPACE, disk_full
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt.domain_xml.spec import Backing

_TIMEOUT_S = 1800
_LOOK_S = 0.2


def create_overlay(path: Path, backing: Backing, size_bytes: int) -> None:
    """A disk that starts with what its backing has. Raises: DiskFull, HypervisorError."""
    below = ("-b", backing.path, "-F", backing.format)
    qemu_img("create", "-f", "qcow2", *below, str(path), str(size_bytes))


def create_disk(path: Path, size_bytes: int) -> None:
    """An empty qcow2 disk that stands alone. Raises: DiskFull, HypervisorError."""
    qemu_img("create", "-f", "qcow2", str(path), str(size_bytes))


def put_on(path: Path, backing: Backing) -> None:
    """Have an overlay say that this is what it stands on: the same content, at another place.

    Raises: HypervisorError.
    """
    qemu_img("rebase", "-u", "-f", "qcow2", "-F", backing.format, "-b", backing.path, str(path))


def grow(path: Path, disk_format: str, size_bytes: int) -> None:
    """Make a disk larger, which must be in nobody's use. Again: it is. Raises: HypervisorError."""
    if virtual_size(path, disk_format) < size_bytes:
        qemu_img("resize", "-f", disk_format, str(path), str(size_bytes))


def virtual_size(path: Path, disk_format: str) -> int:
    """How large the guest sees a disk, in bytes; in use or not. Raises: HypervisorError."""
    told = run("qemu-img", "info", "-U", "-f", disk_format, "--output=json", str(path))
    return int(json.loads(told)["virtual-size"])


def copy_file(source: Path, target: Path) -> None:
    """Copy, without its holes, and where the file system can without its content.

    Raises: DiskFull, HypervisorError.
    """
    run("cp", "--reflink=auto", "--sparse=always", str(source), str(target))


def qemu_img(*arguments: str, need_bytes: int = 0) -> None:
    """Run a command of qemu-img. Raises: DiskFull, HypervisorError."""
    run("qemu-img", arguments[0], "-q", *arguments[1:], need_bytes=need_bytes)


def preallocate(path: Path, size_bytes: int) -> None:
    """Take all the room that a disk of this size may come to need. Again: it has it.

    Raises: DiskFull; HypervisorError, where the file system cannot do that.
    """
    run("fallocate", "--keep-size", "-l", str(size_bytes), str(path), need_bytes=size_bytes)


def run(*command: str, need_bytes: int = 0) -> str:
    """Run a program; what it printed. `need_bytes` is what it writes, at most.

    Raises: DiskFull, HypervisorError.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
        env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()
    if any(words in said for words in NO_SPACE):
        written = next(word for word in reversed(command) if word.startswith("/"))
        raise disk_full("the instance's disks", Path(written), need_bytes)
    raise HypervisorError(reason=f"{command[0]} failed: {said}")


def copy_onto(
    source: str, source_format: str, target: str, target_format: str, checkpoint: Checkpoint
) -> None:
    """Copy a disk that nobody uses onto another one that is there and at least as large.

    Again: anew. Raises: DiskFull, HypervisorError, OperationCancelled.
    """
    formats = ("-f", source_format, "-O", target_format)
    with subprocess.Popen(
        ("qemu-img", "convert", "-n", *formats, source, target),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        env=os.environ | {"LC_ALL": "C"},
    ) as copying:  # fmt: skip
        try:
            while copying.poll() is None:
                checkpoint()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    copying.wait(_LOOK_S)
        finally:
            if copying.poll() is None:
                copying.kill()
        said = copying.stderr.read().strip() if copying.stderr else ""
    if copying.returncode and any(words in said for words in NO_SPACE):
        raise disk_full("the disk's copy", Path(target), virtual_size(Path(source), source_format))
    if copying.returncode:
        raise HypervisorError(reason=f"the disk could not be copied: {said}")


def create_layer(path: Path, below: Path, below_format: str) -> None:
    """A file to write to instead of `below`, in its folder, which it names without the folder.

    Whole or not at all. Raises: DiskFull, HypervisorError.
    """
    part = path.with_name(f"{path.name}.part")
    # -u: what is below may be in use; so its size is said.
    size = str(virtual_size(below, below_format))
    backing = ("-u", "-b", below.name, "-F", below_format)
    try:
        qemu_img("create", "-f", "qcow2", *backing, str(part), size)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

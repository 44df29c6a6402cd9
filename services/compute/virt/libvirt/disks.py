# SPDX-License-Identifier: Apache-2.0
"""The files of an instance: its disks, config drive and console log, in one folder.

A disk appears under its name only when it is complete, so a folder that a killed daemon left half
made is completed by the next run. A folder to remove is renamed first: what is half removed is not
taken for an instance.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from common.errors import DiskFull, HypervisorError
from common.objects.instance import Instance
from services.compute.images import GIB, CachedImage
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec

CONFIG_DRIVE = "disk.config"
CONSOLE_LOG = "console.log"
SNAPSHOT = ".snapshot"  # beside the folders: what is on its way to the image service
_ROOT = "disk"
_EPHEMERAL = "disk.eph0"
_SWAP = "disk.swap"
_IMAGE_MARK = "image"  # holds the id of the image that the root disk is an overlay of
_RESCUE = "disk.rescue"
_RESCUE_CONFIG_DRIVE = "disk.config.rescue"  # takes the place of the other one
_RESCUE_IMAGE_MARK = "image.rescue"  # the same for the rescue disk
_REMOVED = ".removed"
_TIMEOUT_S = 1800


class InstanceFolder:
    """An instance's files below `instances`."""

    def __init__(self, instances: Path, instance_uuid: str) -> None:
        self.path = instances / instance_uuid

    def create(self) -> None:
        """Make the folder; nobody but its owner looks in. Again: nothing."""
        self.path.mkdir(parents=True, exist_ok=True)
        # QEMU may run as another user: it must pass through, but not list.
        self.path.chmod(0o711)

    @property
    def console_log(self) -> Path:
        """Where the serial port's output goes."""
        return self.path / CONSOLE_LOG

    @property
    def config_drive(self) -> Path:
        """The config drive's file, whether or not there is one."""
        return self.path / CONFIG_DRIVE

    @property
    def rescue_config_drive(self) -> Path:
        """The file of the config drive that a rescue image sees, with a password of its own."""
        return self.path / _RESCUE_CONFIG_DRIVE

    def has_root_disk(self) -> bool:
        """Whether there is a root disk to start from."""
        return (self.path / _ROOT).exists()

    def make_root_disk(
        self, image: CachedImage, image_path: Path, size_gib: int, disk_format: str
    ) -> None:
        """The root disk of `size_gib` GiB (0: the image's size). Again: one that is there stays.

        qcow2: an overlay on the cached image. raw: a copy. Raises: DiskFull, HypervisorError.
        """
        target = self.path / _ROOT
        if target.exists():
            return
        mark = self.path / _IMAGE_MARK
        size = size_gib * GIB or image.virtual_size
        if disk_format != "raw":
            _make_overlay(target, image, image_path, size, mark)
            return
        part = target.with_suffix(".part")
        part.unlink(missing_ok=True)
        mark.unlink(missing_ok=True)
        _qemu_img("convert", "-f", image.format, "-O", "raw", str(image_path), str(part))
        _qemu_img("resize", "-f", "raw", str(part), str(size))
        part.replace(target)

    def make_rescue_disk(self, image: CachedImage, image_path: Path) -> None:
        """The disk to rescue from, an overlay on the cached image. Again: it stays.

        Raises: DiskFull, HypervisorError.
        """
        target = self.path / _RESCUE
        if not target.exists():
            mark = self.path / _RESCUE_IMAGE_MARK
            _make_overlay(target, image, image_path, image.virtual_size, mark)

    def remove_rescue_disk(self) -> None:
        """The guest starts from its own disk from now on. Again: it does."""
        for name in (_RESCUE, _RESCUE_IMAGE_MARK, _RESCUE_CONFIG_DRIVE):
            (self.path / name).unlink(missing_ok=True)

    def copy_root_disk(self, target: Path) -> None:
        """Write what the root disk has, base image included, as one qcow2 file.

        Again: anew. Raises: DiskFull, HypervisorError.
        """
        part = target.with_suffix(".part")
        root_format = "qcow2" if (self.path / _IMAGE_MARK).exists() else "raw"
        try:
            # -U: a guest that stands still keeps the file open.
            _qemu_img(
                "convert", "-U", "-f", root_format, "-O", "qcow2",
                str(self.path / _ROOT), str(part),
            )  # fmt: skip
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def make_blank_disk(self, name: str, size_mib: int, make_content: tuple[str, ...]) -> None:
        """A raw disk `name` that `make_content` (a command; the path comes last) formats.

        Again: one that is there stays. Raises: DiskFull, HypervisorError.
        """
        target = self.path / name
        if target.exists():
            return
        part = self.path / f"{name}.part"
        with part.open("wb") as file:
            file.truncate(size_mib << 20)
        _run(*make_content, str(part))
        part.replace(target)

    def disks(self) -> tuple[DiskSpec, ...]:
        """The disks that are there, in the order in which the guest sees them."""
        # By our own mark, not by the content: a guest may write what looks like a qcow2 header,
        # with a backing file of its choice, into a raw disk.
        root_format = "qcow2" if (self.path / _IMAGE_MARK).exists() else "raw"
        config = CONFIG_DRIVE
        if self.rescue_config_drive.exists():
            config = _RESCUE_CONFIG_DRIVE
        candidates = (
            (_RESCUE, "qcow2", "rescue"),
            (_ROOT, root_format, "root"),
            (_EPHEMERAL, "raw", "ephemeral"),
            (_SWAP, "raw", "swap"),
            (config, "raw", "config"),
        )
        return tuple(
            DiskSpec(str(self.path / name), disk_format, role)
            for name, disk_format, role in candidates
            if (self.path / name).exists()
        )

    def remove(self) -> None:
        """Remove all of it. Again: nothing left to remove is fine."""
        doomed = self.path.with_name(self.path.name + _REMOVED)
        if doomed.exists():
            shutil.rmtree(doomed)
        try:
            self.path.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed)


def _make_overlay(
    target: Path, image: CachedImage, image_path: Path, size_bytes: int, mark: Path
) -> None:
    """A disk that starts with what `image` has; `mark` tells that it needs the image."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    mark.write_text(image.image_id)  # first: the image must stay as long as the overlay
    backing = ("-b", str(image_path), "-F", image.format)
    _qemu_img("create", "-f", "qcow2", *backing, str(part), str(size_bytes))
    part.replace(target)


def make_ephemeral_and_swap(folder: InstanceFolder, instance: Instance) -> None:
    """The further disks that the flavor gives. Raises: DiskFull, HypervisorError."""
    flavor = instance.flavor
    if flavor.ephemeral_gib:
        command = ("mke2fs", "-q", "-F", "-t", "ext4", "-L", "ephemeral0")
        folder.make_blank_disk(_EPHEMERAL, flavor.ephemeral_gib * 1024, command)
    if flavor.swap_mib:
        folder.make_blank_disk(_SWAP, flavor.swap_mib, ("mkswap", "-q", "-L", "swap"))


def images_in_use(instances: Path) -> set[str]:
    """Ids of the cached images that disks on this host need."""
    found = set()
    for mark in instances.glob(f"*/{_IMAGE_MARK}*"):
        with contextlib.suppress(FileNotFoundError):  # just removed
            found.add(mark.read_text().strip())
    return found


def finish_removals(instances: Path) -> None:
    """Remove folders whose removal a killed daemon began."""
    for doomed in instances.glob(f"*{_REMOVED}"):
        shutil.rmtree(doomed, ignore_errors=True)


def read_tail(log: Path, tail_bytes: int) -> str:
    """The end of a console log, across the older part that libvirt's log daemon keeps."""
    older = log.with_name(log.name + ".0")
    text = _tail(log, tail_bytes)
    if len(text) < tail_bytes:
        text = _tail(older, tail_bytes - len(text)) + text
    return text.decode(errors="replace")


def _tail(path: Path, count: int) -> bytes:
    if count <= 0:
        return b""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


def _qemu_img(*arguments: str) -> None:
    _run("qemu-img", arguments[0], "-q", *arguments[1:])


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
    )
    if done.returncode == 0:
        return
    if "No space left" in done.stderr:
        raise DiskFull(what="the instance's disks", free_mib=0, need_mib="more")
    raise HypervisorError(reason=f"{command[0]} failed: {done.stderr.strip()}")

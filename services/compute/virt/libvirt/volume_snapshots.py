# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes that are files, made by the guest's QEMU for the volume service.

The file so far stays as it is, and the guest writes into a new one that stands on it. To be rid of
a snapshot, one file of such a chain is merged into a neighbour while the guest runs. The volume
service makes, names and removes the files.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import HypervisorError, KilonovaError, NotSupported, OperationCancelled
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import disk_files, live_disks, power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.freeze import Freezer
from services.compute.virt.libvirt.guest_volumes import GuestVolumes
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.live_disks import NOW, LiveDisk

_LOOK_S = 0.2
_SNAPSHOT = (
    libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
)


class VolumeSnapshots:
    """What snapshots of volumes mean here."""

    def __init__(self, guests: Guests, volumes: GuestVolumes) -> None:
        self._guests = guests
        self._volumes = volumes

    def make(self, instance: Instance, mapping: BlockDeviceMapping, new_file: str) -> None:
        """Have the guest write into `new_file`, beside the volume's file. Again: it does.

        Raises: DomainNotFound, NotSupported, HypervisorError, DiskFull.
        """
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            domain, disk = self._running(instance, mapping)
            target = beside(disk.path, new_file)
            if disk.path == str(target):
                # A daemon that was killed on the way may have left the guest frozen.
                with contextlib.suppress(NotSupported):
                    self._guests.freezer.thaw(domain)
            else:
                _layer(domain, instance, disk, target, self._guests.freezer)
            self._guests.volumes.moved(instance.uuid, str(mapping.volume_id), str(target), "qcow2")

    def merge(
        self,
        instance: Instance,
        mapping: BlockDeviceMapping,
        delete_info: Mapping[str, Any],
        checkpoint: Checkpoint,
    ) -> None:
        """Merge `file_to_merge` down into `merge_target_file`; without the latter, bring what is
        above `file_to_merge` (all, without that) up into the file that the guest writes to.

        Again: it is merged. Raises: DomainNotFound, NotSupported, HypervisorError,
        OperationCancelled.
        """
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            domain, disk = self._running(instance, mapping)
            files = chain_of(disk)
            below, upper = delete_info.get("merge_target_file"), delete_info.get("file_to_merge")
            if not below:
                _pull(domain, disk, files, beside(disk.path, upper) if upper else None, checkpoint)
                return
            top, base = str(beside(disk.path, str(upper))), str(beside(disk.path, str(below)))
            if base not in files:
                raise HypervisorError(reason=f"the volume does not stand on {base}")
            if top not in files:
                return  # it is merged
            _commit(domain, disk, top=top, base=base, checkpoint=checkpoint)
            if top == disk.path:
                now = next(d for d in live_disks.disks_of(domain, NOW) if d.target == disk.target)
                self._guests.volumes.moved(
                    instance.uuid, str(mapping.volume_id), now.path, _format_of(now)
                )

    def _running(self, instance: Instance, mapping: BlockDeviceMapping) -> tuple[Any, LiveDisk]:
        """The running domain and the volume's disk in it, a file."""
        domain = self._guests.domain(instance.uuid)
        if power.is_off(domain):
            raise NotSupported("Only a running guest makes and merges snapshots of its volumes.")
        disk = self._volumes.find(instance, str(mapping.volume_id), domain, NOW)
        if disk is None:
            raise HypervisorError(reason=f"the guest has no volume {mapping.volume_id}")
        if disk.element.get("type") != "file":
            raise NotSupported("Only volumes that are files have snapshots made by their guest.")
        return domain, disk


def _layer(domain: Any, instance: Instance, disk: LiveDisk, target: Path, freezer: Freezer) -> None:
    """Put `target` on top. A file that was not there before is gone again if that fails."""
    is_new = not target.exists()
    if is_new:
        disk_files.create_layer(target, Path(disk.path), _format_of(disk))
    try:
        is_quiet = freezer.freeze(domain, instance)
        try:
            domain.snapshotCreateXML(_snapshot_xml(domain, disk, target), _SNAPSHOT)
        finally:
            if is_quiet:
                freezer.thaw(domain)
    except (libvirt.libvirtError, KilonovaError):
        if is_new and not any(d.path == str(target) for d in live_disks.disks_of(domain, NOW)):
            target.unlink(missing_ok=True)
        raise


def beside(path: str, name: str) -> Path:
    """The file `name` in the folder of `path`. Raises: HypervisorError, for one elsewhere."""
    folder = os.path.dirname(path)
    plain = os.path.basename(name)
    if not plain or plain in (".", "..") or name not in (plain, f"{folder}/{plain}"):
        raise HypervisorError(reason=f"{name!r} is no file beside the volume's own")
    return Path(folder, plain)


def chain_of(disk: LiveDisk) -> list[str]:
    """The files that a disk consists of, the one that the guest writes to first."""
    files, layer = [disk.path], disk.element.find("backingStore")
    while layer is not None:
        path = live_disks.path_of(layer.find("source"))
        if path is None:
            break
        files.append(path)
        layer = layer.find("backingStore")
    return files


def _format_of(disk: LiveDisk) -> str:
    driver = disk.element.find("driver")
    return "raw" if driver is None else driver.get("type", "raw")


def _snapshot_xml(domain: Any, disk: LiveDisk, target: Path) -> str:
    snapshot = ET.Element("domainsnapshot")
    listed = ET.SubElement(snapshot, "disks")
    for other in live_disks.disks_of(domain, NOW):
        if other.target != disk.target:
            ET.SubElement(listed, "disk", name=other.target, snapshot="no")
    ours = ET.SubElement(listed, "disk", name=disk.target, snapshot="external", type="file")
    ET.SubElement(ours, "driver", type="qcow2")
    ET.SubElement(ours, "source", file=str(target))
    return ET.tostring(snapshot, encoding="unicode")


def _pull(
    domain: Any, disk: LiveDisk, files: list[str], base: Path | None, checkpoint: Checkpoint
) -> None:
    """Bring into the top what lies above `base`, which is what it stands on then."""
    place = len(files) if base is None else files.index(str(base)) if str(base) in files else None
    if place is None:
        raise HypervisorError(reason=f"the volume does not stand on {base}")
    if place <= 1:
        return  # nothing lies between
    flags = libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE if base is not None else 0
    path = str(base) if base is not None else None

    def begin(flags: int) -> None:
        domain.blockRebase(disk.target, path, 0, flags)

    _begin(begin, flags, libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE)
    _wait(domain, disk.target, checkpoint)


def _commit(domain: Any, disk: LiveDisk, *, top: str, base: str, checkpoint: Checkpoint) -> None:
    """Bring `top` down into `base`, and with the very top the guest."""
    is_active = top == disk.path
    flags = libvirt.VIR_DOMAIN_BLOCK_COMMIT_RELATIVE
    if is_active:
        flags |= libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE

    def begin(flags: int) -> None:
        domain.blockCommit(disk.target, base, top, 0, flags)

    if not domain.blockJobInfo(disk.target, 0):
        _begin(begin, flags, libvirt.VIR_DOMAIN_BLOCK_COMMIT_RELATIVE)
    _wait(domain, disk.target, checkpoint, pivots=is_active)


def _begin(begin: Callable[[int], None], flags: int, relative: int) -> None:
    """With names relative to the folder, where the files have such: others mount it elsewhere."""
    try:
        begin(flags)
    except libvirt.libvirtError as refused:
        if not flags & relative or "relative" not in str(refused):
            raise
        begin(flags & ~relative)


def _wait(domain: Any, target: str, checkpoint: Checkpoint, *, pivots: bool = False) -> None:
    """Until the job has ended; one that `pivots` is ended by us."""
    try:
        while domain.blockJobInfo(target, 0):
            checkpoint()
            disk = next(d for d in live_disks.disks_of(domain, NOW) if d.target == target)
            if pivots and disk.copy_is_ready:
                domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
                return
            time.sleep(_LOOK_S)
    except OperationCancelled:
        domain.blockJobAbort(target, 0)
        raise

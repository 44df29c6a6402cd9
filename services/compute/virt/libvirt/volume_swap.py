# SPDX-License-Identifier: Apache-2.0
"""Another volume in the place of one: the guest goes on while its data is copied.

Until the copy takes over, the guest uses the old volume and can stay with it; a daemon that is
killed in between finds the copy under way, or the guest on the new volume already.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import HypervisorError, KilonovaError, NotSupported, OperationCancelled
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from services.compute.images import GIB
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import disk_files, live_disks, power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.domain_xml.disk import disk_element, source_element
from services.compute.virt.libvirt.domain_xml.disk_names import bus_of
from services.compute.virt.libvirt.domain_xml.spec import DiskSpec
from services.compute.virt.libvirt.guest_disks import volume_disk
from services.compute.virt.libvirt.guest_volumes import GuestVolumes
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.live_disks import NEXT, NOW, LiveDisk

_LOOK_S = 0.2


class VolumeSwap:
    """What swapping volumes means here."""

    def __init__(self, guests: Guests, volumes: GuestVolumes) -> None:
        self._guests = guests
        self._volumes = volumes

    def swap(
        self,
        instance: Instance,
        mapping: BlockDeviceMapping,
        by: BlockDeviceMapping,
        checkpoint: Checkpoint,
    ) -> None:
        """Copy `mapping` to `by`, have the guest use that, and disconnect `mapping`.

        Again: what was copied is kept. Raises: DomainNotFound, NotSupported, VolumeUnreachable,
        HypervisorError, OperationCancelled; then the guest goes on with `mapping`.
        """
        host, new_id = self._guests.settings.host, str(by.volume_id)
        with libvirt_speaks(instance.uuid, host):
            domain = self._guests.domain(instance.uuid)
        source = self._guests.volumes.connect(instance.uuid, by)
        new = volume_disk(by, source)
        try:
            with libvirt_speaks(instance.uuid, host):
                live_disks.refuse_saved(domain, f"volume {mapping.volume_id}")
                self._copy(instance, domain, mapping, new, by.size_gib * GIB, checkpoint)
                self._redefine(instance, domain, mapping, by, new)
        except KilonovaError:
            with libvirt_speaks(instance.uuid, host):
                is_used = any(_at(domain, when, new.path) for when in (NOW, NEXT))
            if not is_used:
                self._guests.volumes.disconnect(instance.uuid, new_id, force=True)
            raise
        self._guests.volumes.disconnect(instance.uuid, str(mapping.volume_id))

    def _copy(
        self,
        instance: Instance,
        domain: Any,
        mapping: BlockDeviceMapping,
        new: DiskSpec,
        new_bytes: int,
        checkpoint: Checkpoint,
    ) -> None:
        when = live_disks.definitions(domain)[0]
        if _at(domain, when, new.path) is not None:
            return
        old = self._volumes.find(instance, str(mapping.volume_id), domain, when)
        if old is None:
            raise HypervisorError(reason=f"the guest has no volume {mapping.volume_id}")
        if when == NOW:
            _copy_live(domain, old, new, new_bytes, checkpoint)
        else:
            _copy_files(old, new, checkpoint)

    def _redefine(
        self,
        instance: Instance,
        domain: Any,
        mapping: BlockDeviceMapping,
        by: BlockDeviceMapping,
        new: DiskSpec,
    ) -> None:
        """Have the guest's next start use the new volume, under the old one's name."""
        old = self._volumes.find(instance, str(mapping.volume_id), domain, NEXT)
        if old is None or old.path == new.path:
            return
        hardware = self._guests.hardware(instance)
        # What the guest sees is the disk that it had.
        seen = dataclasses.replace(new, bus=mapping.disk_bus, device=mapping.device_type or "disk")
        boot = old.element.find("boot")
        element = disk_element(
            seen,
            old.target,
            bus_of(seen, hardware),
            hardware,
            self._guests.platform,
            boot_order=None if boot is None else int(boot.get("order", "1")),
        )
        domain.updateDeviceFlags(ET.tostring(element, encoding="unicode"), NEXT)


def _copy_live(
    domain: Any, old: LiveDisk, new: DiskSpec, new_bytes: int, checkpoint: Checkpoint
) -> None:
    """Have QEMU copy while the guest runs, and go on with the copy. Raises: libvirtError,
    HypervisorError, OperationCancelled; then the guest goes on with the old one."""
    target = old.target
    if old.copied_to is not None and old.copied_to != new.path:
        domain.blockJobAbort(target, 0)  # to where nobody wants it any more
        old = dataclasses.replace(old, element=ET.Element("disk"))
    if old.copied_to is None:
        size_bytes = domain.blockInfo(target)[0]
        destination = _destination(new, size_bytes if size_bytes < _size(new, new_bytes) else None)
        text = ET.tostring(destination, encoding="unicode")
        # Transient: with it libvirt copies disks of guests that are defined for good, too.
        flags = (
            libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
        )
        domain.blockCopy(target, text, {}, flags)
    try:
        _wait_for_copy(domain, target, new, checkpoint)
    except (OperationCancelled, HypervisorError):
        if domain.blockJobInfo(target, 0):
            domain.blockJobAbort(target, 0)
        raise
    domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)


def _wait_for_copy(domain: Any, target: str, new: DiskSpec, checkpoint: Checkpoint) -> None:
    while True:
        checkpoint()
        disk = next((d for d in live_disks.disks_of(domain, NOW) if d.target == target), None)
        if disk is None or disk.copied_to is None or power.is_off(domain):
            reason = f"the copy to volume {new.serial} ended before it was whole"
            raise HypervisorError(reason=f"{reason}: is it as large as the other one?")
        if disk.copy_is_ready:
            return
        time.sleep(_LOOK_S)


def _copy_files(old: LiveDisk, new: DiskSpec, checkpoint: Checkpoint) -> None:
    """Copy while no guest runs. Raises: NotSupported, HypervisorError, OperationCancelled."""
    driver = old.element.find("driver")
    if new.kind == "network" or old.element.get("type") == "network" or driver is None:
        raise NotSupported("Volumes that only QEMU reaches are swapped while the guest runs.")
    old_format = driver.get("type", "raw")
    disk_files.copy_onto(old.path, old_format, new.path, new.format, checkpoint)


def _destination(new: DiskSpec, slice_bytes: int | None) -> ET.Element:
    """The new volume; only its beginning where it is larger: QEMU copies to what is as large as
    the old one. The guest sees the rest at its next start.
    """
    element = ET.Element("disk", type="file" if new.kind == "share" else new.kind)
    ET.SubElement(element, "driver", name="qemu", type=new.format)
    source = source_element(new)
    element.append(source)
    if slice_bytes is not None and new.format == "raw":
        size = str(slice_bytes)
        ET.SubElement(
            ET.SubElement(source, "slices"), "slice", type="storage", offset="0", size=size
        )
    return element


def _size(new: DiskSpec, told_bytes: int) -> int:
    """How large it is, where this host can see that; else as large as the volume service says."""
    if new.kind == "network":
        return told_bytes
    try:
        return disk_files.virtual_size(Path(new.path), new.format)
    except HypervisorError:
        return told_bytes


def _at(domain: Any, when: int, path: str) -> LiveDisk | None:
    if when == NOW and power.is_off(domain):
        return None
    return next((disk for disk in live_disks.disks_of(domain, when) if disk.path == path), None)

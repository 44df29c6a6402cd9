# SPDX-License-Identifier: Apache-2.0
"""A copy of the root disk of a guest that runs on: made by the hypervisor, and cut at one moment.

The hypervisor copies while the guest writes, until copy and disk are the same. Then the guest's
agent stops all writing for the moment in which the copy is cut off, where there is an agent.
"""

import contextlib
import logging
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import HypervisorError
from common.guest_hardware.wishes import Wishes
from common.objects.instance import Instance
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.disk_files import create_disk, create_overlay, virtual_size
from services.compute.virt.libvirt.disks import ROOT, FindImage, InstanceFolder
from services.compute.virt.libvirt.domain_xml.spec import Backing
from services.compute.virt.libvirt.freeze import Freezer

LOG = logging.getLogger(__name__)

COPY = "disk.copy"
_LOOK_S = 0.1


def copy_alive(
    domain: Any,
    instance: Instance,
    folder: InstanceFolder,
    find_image: FindImage,
    freezer: Freezer,
    checkpoint: Checkpoint,
) -> Path | None:
    """A qcow2 file with what the root disk has; None where the hypervisor cannot do it.

    It stands on the image that the disk stands on. Again: anew.
    Raises: NotSupported (the image demands an agent, and none answers), DiskFull, HypervisorError,
    OperationCancelled.
    """
    settle(domain, folder)
    if Wishes(instance).is_on("", "os_require_quiesce"):
        with libvirt_speaks(instance.uuid):
            freezer.freeze(domain, instance)  # before much is done in vain
            freezer.thaw(domain)
    target, backing = folder.path / COPY, None
    if folder.image_id is not None:
        backing = find_image(folder.image_id)
    size = virtual_size(folder.path / ROOT, folder.root_format)
    if backing is None:
        create_disk(target, size)
    else:
        create_overlay(target, backing, size)
    try:
        device = _device(domain, folder)
        _begin(domain, device, target, backing)
    except libvirt.libvirtError as refused:
        LOG.warning("The guest stands still while its disk is copied: %s", refused)
        target.unlink()
        return None
    try:
        with libvirt_speaks(instance.uuid):
            _wait_until_equal(domain, device, checkpoint)
            _cut_off(domain, instance, device, freezer)
    except BaseException:
        settle(domain, folder)
        raise
    return target


def settle(domain: Any, folder: InstanceFolder) -> None:
    """End the copying that a killed daemon, or an error, has left. Again: nothing."""
    target = folder.path / COPY
    if not target.exists():
        return
    with contextlib.suppress(libvirt.libvirtError):
        domain.blockJobAbort(_device(domain, folder), 0)
    target.unlink()


def _device(domain: Any, folder: InstanceFolder) -> str:
    """The root disk's name in the guest."""
    for disk in ET.fromstring(domain.XMLDesc()).iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and source.get("file") == str(folder.path / ROOT):
            return str(target.get("dev") if target is not None else "")
    raise HypervisorError(reason="the guest does not use its root disk")


def _begin(domain: Any, device: str, target: Path, backing: Backing | None) -> None:
    disk = ET.Element("disk", type="file")
    ET.SubElement(disk, "driver", type="qcow2")
    ET.SubElement(disk, "source", file=str(target))
    below = ET.SubElement(disk, "backingStore")
    if backing is not None:
        below.set("type", "file")
        ET.SubElement(below, "format", type=backing.format)
        ET.SubElement(below, "source", file=backing.path)
        ET.SubElement(below, "backingStore")
    # The job is for the running guest only: a definition that outlives it stays as it is.
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    if backing is not None:
        flags |= libvirt.VIR_DOMAIN_BLOCK_COPY_SHALLOW
    domain.blockCopy(device, ET.tostring(disk, encoding="unicode"), {}, flags)


def _wait_until_equal(domain: Any, device: str, checkpoint: Checkpoint) -> None:
    while True:
        job = domain.blockJobInfo(device, 0)
        if not job:
            raise HypervisorError(reason="copying the disk of the running guest failed")
        # libvirt keeps them apart until the hypervisor says that nothing is missing.
        if job["end"] and job["cur"] == job["end"]:
            return
        checkpoint()
        time.sleep(_LOOK_S)


def _cut_off(domain: Any, instance: Instance, device: str, freezer: Freezer) -> None:
    is_quiet = freezer.freeze(domain, instance)
    try:
        domain.blockJobAbort(device, 0)
    finally:
        if is_quiet:
            freezer.thaw(domain)
    LOG.info("The copy is cut off%s", "" if is_quiet else "; no agent has stopped the guest for it")

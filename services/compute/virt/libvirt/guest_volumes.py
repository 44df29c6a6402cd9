# SPDX-License-Identifier: Apache-2.0
"""Volumes of a guest that is there already: one more, one less, a larger one.

A guest that runs has two definitions, of now and of its next start; both are changed.
"""

import logging
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import KilonovaError
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import live_disks, power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.domain_xml.devices import scsi_controller
from services.compute.virt.libvirt.domain_xml.disk import disk_element
from services.compute.virt.libvirt.domain_xml.disk_names import bus_of, name_disks
from services.compute.virt.libvirt.domain_xml.spec import Hardware
from services.compute.virt.libvirt.guest_disks import volume_disk
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.live_disks import NEXT, NOW, LiveDisk
from services.compute.virt.libvirt.unplug import unplug
from services.compute.volume_sources import VolumeSource

LOG = logging.getLogger(__name__)


class GuestVolumes:
    """What attaching, detaching and extending mean here."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    def attach(
        self, instance: Instance, mapping: BlockDeviceMapping, checkpoint: Checkpoint
    ) -> None:
        """Connect the volume and give it to the guest. Again: one that is there stays.

        Raises: DomainNotFound, VolumeUnreachable, HypervisorError, OperationCancelled.
        """
        host, volume_id = self._guests.settings.host, str(mapping.volume_id)
        hardware = self._guests.hardware(instance)
        with libvirt_speaks(instance.uuid, host):
            domain = self._guests.domain(instance.uuid)
            live_disks.refuse_saved(domain, f"volume {volume_id}")
        source = self._guests.volumes.connect(instance.uuid, mapping)
        try:
            checkpoint()
            with libvirt_speaks(instance.uuid, host):
                self._plug(domain, mapping, source, hardware)
        except KilonovaError:
            with libvirt_speaks(instance.uuid, host):
                is_used = any(self.find(instance, volume_id, domain, when) for when in (NOW, NEXT))
            if not is_used:
                self._guests.volumes.disconnect(instance.uuid, volume_id, force=True)
            raise

    def detach(
        self, instance: Instance, mapping: BlockDeviceMapping, checkpoint: Checkpoint
    ) -> None:
        """Take the volume from the guest and disconnect it. Again: fine without it.

        Raises: DomainNotFound, VolumeUnreachable, OperationCancelled; HypervisorError when the
        guest does not let go of it.
        """
        settings, volume_id = self._guests.settings, str(mapping.volume_id)
        with libvirt_speaks(instance.uuid, settings.host):
            domain = self._guests.domain(instance.uuid)
            if self.find(instance, volume_id, domain, NEXT) is not None:
                live_disks.refuse_saved(domain, f"volume {volume_id}")

            def alias() -> str | None:
                found = self.find(instance, volume_id, domain, NOW)
                return None if found is None else found.alias

            unplug(
                domain,
                alias,
                what=f"volume {volume_id}",
                within_s=settings.unplug_timeout_s,
                checkpoint=checkpoint,
            )
            left = self.find(instance, volume_id, domain, NEXT)
            if left is not None:
                domain.detachDeviceFlags(ET.tostring(left.element, encoding="unicode"), NEXT)
        self._guests.volumes.disconnect(instance.uuid, volume_id)

    def extend(self, instance: Instance, mapping: BlockDeviceMapping) -> None:
        """Show the guest its volume's new size. Again: the same.

        Raises: DomainNotFound, VolumeUnreachable, HypervisorError.
        """
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            domain = self._guests.domain(instance.uuid)
        size_bytes = self._guests.volumes.extend(instance.uuid, mapping)
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            found = self.find(instance, str(mapping.volume_id), domain, NOW)
            if found is not None:
                _grow(domain, found, size_bytes)

    def find(self, instance: Instance, volume_id: str, domain: Any, when: int) -> LiveDisk | None:
        """The volume's disk in a definition; None without one. Raises: libvirtError."""
        if when == NOW and power.is_off(domain):
            return None
        sources = self._guests.volumes.sources(instance.uuid)
        own = sources.pop(volume_id, None)
        return live_disks.find_volume(
            live_disks.disks_of(domain, when),
            volume_id,
            own.path if own else None,
            {source.path for source in sources.values()},
        )

    def _plug(
        self,
        domain: Any,
        mapping: BlockDeviceMapping,
        source: VolumeSource,
        hardware: Hardware,
    ) -> None:
        disk = volume_disk(mapping, source)
        bus = bus_of(disk, hardware)
        there = {when: live_disks.disks_of(domain, when) for when in (NOW, NEXT)}
        taken = {found.target for disks in there.values() for found in disks}
        same = [d.target for disks in there.values() for d in disks if d.path == source.path]
        [name] = same[:1] or name_disks((disk,), (bus,), taken)
        element = disk_element(disk, name, bus, hardware, self._guests.platform)
        for when in live_disks.definitions(domain):
            if any(found.path == source.path for found in there[when]):
                continue
            if bus == "scsi":
                _have_controller(domain, hardware, when)
            domain.attachDeviceFlags(ET.tostring(element, encoding="unicode"), when)


def _grow(domain: Any, disk: LiveDisk, size_bytes: int) -> None:
    """Have a running guest see its disk larger. Again: it does. Raises: libvirtError."""
    if disk.element.find("source/slices") is not None:
        LOG.warning("Disk %s shows its new size at the guest's next start only", disk.target)
    elif domain.blockInfo(disk.target)[0] < size_bytes:
        domain.blockResize(disk.target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def _have_controller(domain: Any, hardware: Hardware, when: int) -> None:
    """The controller that the guest's image asks for: libvirt itself would take an old one."""
    controllers = live_disks.description(domain, when).iterfind("devices/controller[@type='scsi']")
    if not any(True for _ in controllers):
        text = ET.tostring(scsi_controller(hardware), encoding="unicode")
        domain.attachDeviceFlags(text, when)

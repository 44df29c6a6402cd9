# SPDX-License-Identifier: Apache-2.0
"""Guests of one libvirtd: their folders, disks and definitions, and how they are started.

What the methods of the driver have in common; it decides nothing by itself.
"""

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import (
    DomainNotFound,
    HypervisorError,
    ImageNotFound,
    ImageUnacceptable,
    Unavailable,
)
from common.objects.guest_metadata import GuestMetadata
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from common.states import PowerState
from services.compute import block_devices, config_drive, vifs
from services.compute.images import CachedImage, ImageCache
from services.compute.mounts import are_seen_by_libvirt
from services.compute.shares import Shares, find_virtiofsd
from services.compute.virt.driver import Checkpoint, lacks
from services.compute.virt.libvirt import disks, power
from services.compute.virt.libvirt.connection import Connection, libvirt_speaks
from services.compute.virt.libvirt.consoles import SerialPorts
from services.compute.virt.libvirt.disk_files import grow, put_on
from services.compute.virt.libvirt.disks import InstanceFolder, Owner
from services.compute.virt.libvirt.domain_xml import devices
from services.compute.virt.libvirt.domain_xml.domain import domain_xml
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import (
    EMULATOR,
    Backing,
    DomainSpec,
    Hardware,
    SharedFolder,
)
from services.compute.virt.libvirt.events import is_ours
from services.compute.virt.libvirt.freeze import Freezer
from services.compute.virt.libvirt.guest_disks import compose
from services.compute.virt.libvirt.landings import Landing, Landings
from services.compute.virt.libvirt.live_copy import COPY, settle
from services.compute.virt.libvirt.live_disks import names_of_volumes
from services.compute.virt.libvirt.offers import BASE
from services.compute.virt.libvirt.peers import Shipment
from services.compute.virt.libvirt.pinning import choose_pins, taken_cpus
from services.compute.virt.libvirt.settings import Settings
from services.compute.volume_sources import VolumeSource
from services.compute.volumes import Volumes

LOG = logging.getLogger(__name__)


class Guests:
    """The guests of this host. `platform` is known once the driver has started."""

    can_start_paused = True

    def __init__(
        self, settings: Settings, images: ImageCache, volumes: Volumes, connection: Connection
    ) -> None:
        self.settings = settings
        self.images = images
        self.volumes = volumes
        self.shares = Shares(settings.state_folder / "shares", settings.share_mount_options)
        self.virtiofsd: str | None = None
        self.connection = connection
        self.platform = settings.platform
        self.serial_ports = SerialPorts(*settings.serial_ports)
        self.landings = Landings(settings.state_folder / "landings")
        self.freezer = Freezer(settings.state_folder / "frozen", settings.agent_timeout_s)
        self._pinning = threading.Lock()

    def find_virtiofsd(self) -> None:
        """See whether guests can have shares here, now that libvirt runs."""
        if are_seen_by_libvirt(self.shares.folder, self.settings.connection_uri):
            self.virtiofsd = find_virtiofsd()

    # --- finding ---

    def folder(self, instance_uuid: str, *, aside: bool = False) -> InstanceFolder:
        """The instance's files, or those that wait aside, whether or not there are any."""
        return InstanceFolder(self.settings.instances, instance_uuid, aside=aside)

    def domain(self, instance_uuid: str) -> Any:
        """The instance's domain. Raises: libvirtError."""
        return self.connection.get().lookupByUUIDString(instance_uuid)

    def find(self, instance_uuid: str) -> Any:
        """The instance's domain; None when there is none."""
        try:
            with libvirt_speaks(instance_uuid, self.settings.host):
                return self.domain(instance_uuid)
        except DomainNotFound:
            return None

    def image(self, image_id: str) -> Backing | None:
        """Where the cached image is that a disk stands on; None when it is not here."""
        cached = self.images.find(image_id)
        return None if cached is None else Backing(str(self.images.path(cached)), cached.format)

    def name_owner(self) -> None:
        """Say of folders of guests of a time when nobody said so that they are this host's."""
        with libvirt_speaks():
            ours = [d.UUIDString() for d in self.connection.get().listAllDomains() if is_ours(d)]
        for folder in map(self.folder, ours):
            if folder.exists and folder.owner is None:
                folder.take(self.settings.host)

    def settle_copies(self) -> None:
        """End the copying of disks that a killed daemon has begun; their operations run again."""
        for copy in self.settings.instances.glob(f"*/{COPY}"):
            uuid = copy.parent.name
            domain = self.find(uuid) if "." not in uuid else None
            if domain is not None:
                settle(domain, self.folder(uuid))

    def check_disks(self, instance: Instance) -> None:
        """Its disks of this host are there. Raises: DomainNotFound."""
        folder = self.folder(instance.uuid)
        has_own_root = block_devices.root_image(instance) is not None
        if not (folder.has_root_disk() if has_own_root else folder.exists):
            raise DomainNotFound(instance=instance.uuid, host=self.settings.host)

    # --- making ---

    def hardware(self, instance: Instance) -> Hardware:
        """What the guest gets of this host. Raises: ImageUnacceptable, NotSupported."""
        block_devices.root_image(instance)
        return choose_hardware(instance, self.platform)

    def interface(self, instance: Instance, vif: VirtualInterface) -> ET.Element:
        """The guest's device for a port. Raises: ImageUnacceptable, NotSupported."""
        return devices.interface(vif, self.hardware(instance))

    def make_disks(self, instance: Instance, checkpoint: Checkpoint) -> None:
        """All disks that the instance shall have. Again: those that are there stay.

        So do those that a host which shares the folder has had: the instance is evacuated.
        """
        flavor = instance.flavor
        image, folder = block_devices.root_image(instance), self.folder(instance.uuid)
        folder.create()
        is_taken_over = self._take(folder, instance)
        if image is not None and folder.has_root_disk():
            self._find_base(folder, image, checkpoint, is_taken_over=is_taken_over)
        elif image is not None:
            cached = self.images.fetch(image, disk_gib=flavor.root_gib, checkpoint=checkpoint)
            self.make_root_disk(folder, cached, flavor.root_gib)
        checkpoint()
        self.make_blank_disks(folder, instance)
        keeps_drive = is_taken_over and folder.config_drive.exists()
        if self.wants_config_drive(instance) and not keeps_drive:
            self.write_config_drive(instance, folder.config_drive)

    def make_root_disk(self, folder: InstanceFolder, image: CachedImage, size_gib: int) -> None:
        """The root disk of `size_gib` GiB (0: the image's size). Again: one that is there stays.

        Raises: ImageUnacceptable, DiskFull, HypervisorError.
        """
        path = self.images.path(image)
        folder.make_root_disk(
            image,
            path,
            size_gib,
            self.settings.disk_format,
            takes_room=self.settings.preallocate_disks,
        )

    def make_blank_disks(self, folder: InstanceFolder, instance: Instance) -> None:
        """The disks that start empty. Again: those that are there stay.

        Raises: DiskFull, HypervisorError, NotSupported.
        """
        disks.make_blank_disks(folder, instance, takes_room=self.settings.preallocate_disks)

    def grow(self, path: Path, disk_format: str, size_bytes: int) -> None:
        """Make a disk larger, which must be in nobody's use. Again: it is.

        Raises: HypervisorError.
        """
        grow(path, disk_format, size_bytes)

    def _take(self, folder: InstanceFolder, instance: Instance) -> bool:
        """Have the folder; whether it is another host's, to be given back if this comes to nothing.

        Raises: HypervisorError, when it is another one's than of the host that had the instance.
        """
        here = self.settings.host
        owner = folder.owner or Owner(here)
        if owner.host == here:
            folder.take(here, lent_by=owner.lent_by)
            return owner.lent_by is not None
        if owner.host != instance.host:
            reason = f"the disks of instance {instance.uuid} are those of host {owner.host}"
            raise HypervisorError(reason=reason)
        LOG.info("Taking over the disks of host %s", owner.host)
        folder.take(here, lent_by=owner.host)
        return True

    def _find_base(
        self,
        folder: InstanceFolder,
        image: ImageMeta,
        checkpoint: Checkpoint,
        *,
        is_taken_over: bool,
    ) -> None:
        """Have the image here that the root disk stands on, if it does.

        Raises: HypervisorError: it is not to be had, or a guest uses the disk that is taken over.
        """
        image_id = folder.image_id
        if image_id is None:
            return
        if self.image(image_id) is None:
            if image_id != image.id:
                reason = f"image {image_id}, on which the root disk stands, is not on this host"
                raise HypervisorError(reason=reason)
            self.images.fetch(image, disk_gib=0, checkpoint=checkpoint)
        backing = self.image(image_id)
        if is_taken_over and backing is not None:
            put_on(folder.path / disks.ROOT, backing)

    def wants_config_drive(self, instance: Instance) -> bool:
        """Whether user, image or operator ask for one."""
        by_image = instance.image is not None and instance.image.needs_config_drive
        return instance.config_drive or by_image or self.settings.force_config_drive

    def write_config_drive(self, instance: Instance, path: Path) -> None:
        """Make the config drive in `path`. Again: anew."""
        settings, guest = self.settings, GuestMetadata(instance=instance)
        config_drive.write(path, guest, settings.tree, settings.config_drive_format)

    def connect_volumes(self, instance: Instance) -> dict[str, VolumeSource]:
        """Have all its volumes on this host; where they are. Again: the same.

        Raises: VolumeUnreachable.
        """
        return {
            str(disk.volume_id): self.volumes.connect(instance.uuid, disk)
            for disk in block_devices.volumes(instance)
        }

    def mount_shares(self, instance: Instance) -> tuple[SharedFolder, ...]:
        """Have the shares mounted that its guest shall have; where they are. Again: the same.

        Raises: HypervisorError, NotSupported.
        """
        found = instance.attached_shares
        if found and self.virtiofsd is None:
            raise lacks("give shares to guests")
        return tuple(
            SharedFolder(str(self.shares.mount(instance.uuid, each)), each.tag, str(self.virtiofsd))
            for each in found
        )

    def define(self, instance: Instance, hardware: Hardware) -> Any:
        """Define the guest, with the files that are there, its volumes, which are connected, and
        its shares, which are mounted; its domain. Again: anew.

        Raises: VolumeUnreachable, HypervisorError.
        """
        folder = self.folder(instance.uuid)
        sources, folders = self.connect_volumes(instance), self.mount_shares(instance)
        # Two guests defined at once must not be given the same host CPUs.
        with self._pinning, libvirt_speaks(instance.uuid, self.settings.host):
            spec = DomainSpec(
                instance=instance,
                platform=self.platform,
                hardware=self._pinned(instance, hardware),
                disks=compose(
                    instance,
                    folder.disks(self.image),
                    sources,
                    names=names_of_volumes(self.find(instance.uuid)),
                    rescue=folder.rescue_drive,
                ),
                vifs=instance.vifs,
                console_log=str(folder.console_log),
                serial_port=self.serial_port(instance.uuid),
                config_drive_format=self.settings.config_drive_format,
                nvram=str(folder.nvram),
                folders=folders,
            )
            domain = self.connection.get().defineXML(domain_xml(spec))
            power.forget_memory(domain)
            return domain

    def reserve(
        self,
        instance: Instance,
        hardware: Hardware,
        landing: Callable[[tuple[tuple[int, int], ...]], Landing],
    ) -> Landing:
        """Keep a place for a guest that comes alive, with the host CPUs that it shall have.

        Again: the place that is kept. Raises: HypervisorError.
        """
        with self._pinning, libvirt_speaks(instance.uuid, self.settings.host):
            kept = self.landings.get(instance.uuid)
            if kept is None:
                kept = landing(tuple(sorted(self._pins(instance, hardware).items())))
                self.landings.put(instance.uuid, kept)
            return kept

    def _pinned(self, instance: Instance, hardware: Hardware) -> Hardware:
        pins = self._pins(instance, hardware)
        processor = dataclasses.replace(hardware.processor, pins=pins)
        return dataclasses.replace(hardware, processor=processor)

    def _pins(self, instance: Instance, hardware: Hardware) -> Mapping[int, int]:
        dedicated = hardware.processor.dedicated
        if not dedicated:
            return {}
        if hardware.processor.emulator == "isolate":
            dedicated |= {EMULATOR}
        taken = taken_cpus(self.connection.get(), but_of=instance.uuid)
        taken |= self.landings.taken_cpus(but_of=instance.uuid)
        return choose_pins(dedicated, self.platform.dedicated_cpus, taken)

    def serial_port(self, instance_uuid: str) -> int | None:
        """The TCP port on which the guest's serial port shall listen; None: on none."""
        if self.platform.serial_listen is None:
            return None
        return self.serial_ports.take(instance_uuid)

    def base(
        self,
        instance: Instance,
        offered: CachedImage,
        shipment: Shipment,
        checkpoint: Checkpoint,
    ) -> Backing:
        """The image that a disk from another host stands on, here.

        From this host's cache; else from the image service; else from the other host's cache: the
        image of a guest may be deleted, and that of an unshelved one is.
        Raises: ImageUnacceptable, DiskFull, HypervisorError, OperationCancelled.
        """
        image, cached = instance.image, self.images.find(offered.image_id)
        if cached is None and image is not None and image.id == offered.image_id:
            with contextlib.suppress(ImageNotFound, ImageUnacceptable, Unavailable):
                cached = self.images.fetch(image, disk_gib=0, checkpoint=checkpoint)
        if cached is None:
            cached = self.images.adopt(
                offered, lambda path: shipment.bring(BASE, path, checkpoint), checkpoint
            )
        return Backing(str(self.images.path(cached)), cached.format)

    def remove_files(self, instance: Instance) -> None:
        """Remove those that are this host's. Again: nothing left to remove is fine.

        What belongs to the host that has the instance now is left to that one, and what was taken
        over from it, in vain, is given back.
        """
        here, folder = self.settings.host, self.folder(instance.uuid)
        owner = folder.owner or Owner(here)
        if owner.host == here and owner.lent_by is not None and owner.lent_by == instance.host:
            folder.take(owner.lent_by)
        elif owner.host == here or instance.host in (None, here):
            folder.remove()
        self.landings.remove(instance.uuid)
        aside = self.folder(instance.uuid, aside=True)
        if (aside.owner or Owner(here)).host == here:
            aside.remove()

    # --- power ---

    def define_and_start(
        self,
        instance: Instance,
        hardware: Hardware,
        checkpoint: Checkpoint,
        *,
        wait_s: float | None = None,
        paused: bool = False,
    ) -> PowerState:
        """Define the guest anew and start it, `paused` with its CPUs stopped; its power state."""
        domain = self.define(instance, hardware)
        self.start(instance, domain, checkpoint, wait_s=wait_s, paused=paused)
        with libvirt_speaks(instance.uuid, self.settings.host):
            return power.state_of(domain)

    def start(
        self,
        instance: Instance,
        domain: Any,
        checkpoint: Checkpoint,
        *,
        wait_s: float | None = None,
        paused: bool = False,
    ) -> None:
        """Start it as soon as its bridges are there, which are waited for `wait_s` seconds, or as
        the operator says. Again: one that runs goes on.
        """
        patience_s = self.settings.bridge_wait_s if wait_s is None else wait_s

        def start() -> None:
            with libvirt_speaks(instance.uuid, self.settings.host):
                self.turn_on(domain, paused=paused and self.can_start_paused)

        vifs.start_when_plugged(start, instance.vifs, wait_s=patience_s, checkpoint=checkpoint)

    def turn_on(self, domain: Any, *, paused: bool) -> None:
        """Start it; `paused`: with its CPUs stopped. Again: it goes on. Raises: libvirtError."""
        power.start(domain, paused=paused)

    def restart(
        self, instance: Instance, checkpoint: Checkpoint, *, wait_s: float | None = None
    ) -> PowerState:
        """Define the guest anew from its files and start it. Raises: DomainNotFound."""
        self.check_disks(instance)
        hardware = self.hardware(instance)
        return self.define_and_start(instance, hardware, checkpoint, wait_s=wait_s)

    def ask_to_shut_down(self, domain: Any, grace_s: float, checkpoint: Checkpoint) -> bool:
        """Ask the guest for it, wait `grace_s` seconds; whether it is off.

        Raises: libvirtError, OperationCancelled.
        """
        return power.ask_to_shut_down(domain, grace_s, checkpoint)

    def undefine(self, domain: Any, *, keep_state: bool = False) -> None:
        """Remove the definition with what libvirt itself keeps. Again: fine. Raises: libvirtError.

        `keep_state`: but for what the guest keeps in its firmware's variables.
        """
        undefine(domain, keep_state=keep_state)

    def cut(self, instance_uuid: str) -> None:
        """Cut the guest's power, if there is a guest."""
        domain = self.find(instance_uuid)
        if domain is not None:
            with libvirt_speaks(instance_uuid, self.settings.host):
                power.cut(domain)


def undefine(domain: Any, *, keep_state: bool = False) -> None:
    """Remove the definition with what libvirt itself keeps, the state of its TPM included.

    `keep_state`: but for the variables of its firmware, which are in the instance's folder.
    Again: fine. Raises: libvirtError.
    """
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    )
    flags |= (
        libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM if keep_state else libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise

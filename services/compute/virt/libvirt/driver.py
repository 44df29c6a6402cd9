# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver: puts image cache, files, definition and power together, a method a verb."""

import dataclasses
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from common.errors import DomainNotFound, NotSupported
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.diagnostics import Diagnostics
from common.objects.guest_metadata import GuestMetadata
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.states import PowerState, VmState
from services.compute import config_drive, vifs
from services.compute.images import ImageCache
from services.compute.virt.driver import (
    Checkpoint,
    Driver,
    Inventory,
    PowerSink,
    never_cancelled,
)
from services.compute.virt.libvirt import disks, power
from services.compute.virt.libvirt.capabilities import choose_virt_type
from services.compute.virt.libvirt.connection import Connection, libvirt_speaks
from services.compute.virt.libvirt.counters import diagnostics_of
from services.compute.virt.libvirt.disks import InstanceFolder
from services.compute.virt.libvirt.domain_xml.domain import domain_xml
from services.compute.virt.libvirt.domain_xml.hardware import choose_hardware
from services.compute.virt.libvirt.domain_xml.spec import DomainSpec, Hardware, Platform
from services.compute.virt.libvirt.events import PowerEvents, is_ours
from services.compute.virt.libvirt.inventory import take_inventory
from services.compute.virt.libvirt.pinning import choose_pins, taken_cpus

LOG = logging.getLogger(__name__)

_NOT_OFF = (PowerState.RUNNING, PowerState.PAUSED)


@dataclass(frozen=True)
class Settings:
    """How this host runs guests. `virt_type` may be `auto`; seconds where the name ends in _s."""

    host: str
    connection_uri: str
    state_folder: Path
    instances: Path
    virt_type: str = "auto"
    platform: Platform = dataclasses.field(default_factory=Platform)
    disk_format: str = "qcow2"
    config_drive_format: str = "iso9660"
    force_config_drive: bool = False
    soft_reboot_timeout_s: int = 120
    bridge_wait_s: int = 10
    image_keep_s: int = 86400
    tree: TreeSettings = dataclasses.field(default_factory=TreeSettings)


class LibvirtDriver(Driver):
    """Guests of one libvirtd."""

    def __init__(self, settings: Settings, images: ImageCache) -> None:
        self._settings = settings
        self._images = images
        self._platform = settings.platform
        self._events = PowerEvents()
        self._pinning = threading.Lock()
        self._connection = Connection(settings.connection_uri, opened=self._events.subscribe)

    def start(self, power_changed: PowerSink) -> None:
        settings = self._settings
        settings.instances.mkdir(parents=True, exist_ok=True)
        disks.finish_removals(settings.instances)
        self._events.sink = power_changed
        with libvirt_speaks():
            connection = self._connection.get()
            virt_type = choose_virt_type(connection, settings.virt_type, settings.state_folder)
        self._platform = dataclasses.replace(settings.platform, virt_type=virt_type)
        LOG.info("Guests run with %s", "KVM" if virt_type == "kvm" else "emulated CPUs (TCG)")

    def stop(self) -> None:
        self._connection.close()

    def health(self) -> str | None:
        return self._connection.problem()

    def inventory(self) -> Inventory:
        with libvirt_speaks():
            return take_inventory(
                self._connection.get(), self._platform.virt_type, self._settings.instances
            )

    def build(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        vifs.check_bound(instance.vifs)
        hardware = self._hardware(instance)
        running = self._find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._settings.host):
            if running is not None and not power.is_off(running):
                return power.state_of(running)
        self._make_disks(instance, checkpoint)
        checkpoint()
        return self._define_and_start(instance, hardware, checkpoint)

    def destroy(self, instance: Instance) -> None:
        domain = self._find(instance.uuid)
        if domain is not None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                power.cut(domain)
                _undefine(domain)
        self._folder(instance.uuid).remove()

    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        domain = self._find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._settings.host):
            if domain is not None and not power.is_off(domain):
                return power.state_of(domain)
        return self._restart(instance, checkpoint)

    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._domain(instance.uuid)
            if not power.ask_to_shut_down(domain, grace_s, checkpoint):
                power.cut(domain)
            return power.state_of(domain)

    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        domain = self._find(instance.uuid)
        if domain is not None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                grace_s = 0 if hard else self._settings.soft_reboot_timeout_s
                if not power.ask_to_shut_down(domain, grace_s, checkpoint):
                    if not hard:
                        LOG.warning("The guest did not shut down in %d s: cutting power", grace_s)
                    power.cut(domain)
        return self._restart(instance, checkpoint)

    def pause(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.pause(self._domain(instance.uuid))

    def unpause(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.unpause(self._domain(instance.uuid))

    def suspend(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.save(self._domain(instance.uuid))

    def resume(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        domain = self._find(instance.uuid)
        if domain is None:
            return self._restart(instance, checkpoint)

        def start() -> None:
            # libvirt itself goes on from a saved memory where there is one.
            with libvirt_speaks(instance.uuid, self._settings.host):
                power.start(domain)

        wait_s = self._settings.bridge_wait_s
        vifs.start_when_plugged(start, instance.vifs, wait_s=wait_s, checkpoint=checkpoint)
        return self.power_state(instance.uuid)

    def rescue(
        self, instance: Instance, image: ImageMeta, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        folder = self._folder(instance.uuid)
        if not folder.has_root_disk():
            raise DomainNotFound(instance=instance.uuid, host=self._settings.host)
        cached = self._images.fetch(image, disk_gib=0, checkpoint=checkpoint)
        self._cut(instance.uuid)
        folder.make_rescue_disk(cached, self._images.path(cached))
        if self._wants_config_drive(instance):
            self._write_config_drive(instance, folder.rescue_config_drive)
        return self._restart(instance, checkpoint)

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        self._cut(instance.uuid)
        self._folder(instance.uuid).remove_rescue_disk()
        return self._restart(instance, checkpoint)

    def snapshot(
        self, instance: Instance, image_id: str, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """A guest that runs stands still for as long as its disk is copied."""
        folder = self._folder(instance.uuid)
        if not folder.has_root_disk():
            raise DomainNotFound(instance=instance.uuid, host=self._settings.host)
        checkpoint()
        state = (
            PowerState.SHUTDOWN
            if self._find(instance.uuid) is None
            else self.power_state(instance.uuid)
        )
        # A guest that stands still though it is not paused was left so by a killed daemon.
        goes_on = instance.vm_state != VmState.PAUSED and state in _NOT_OFF
        if goes_on:
            self.pause(instance)  # QEMU writes out all it holds back
        try:
            folder.copy_root_disk(self.snapshot_path(image_id))
        finally:
            if goes_on:
                state = self.unpause(instance)
        return state

    def snapshot_path(self, image_id: str) -> Path:
        return self._settings.instances / f"{image_id}{disks.SNAPSHOT}"

    def discard_snapshot(self, image_id: str) -> None:
        path = self.snapshot_path(image_id)
        for rest in (path, path.with_suffix(".part")):
            rest.unlink(missing_ok=True)

    def trigger_crash_dump(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._domain(instance.uuid)
            domain.injectNMI()
            return power.state_of(domain)

    def change_password(self, instance: Instance, password: str) -> PowerState:
        properties = instance.image.properties if instance.image else {}
        user = properties.get("os_admin_user") or (
            "Administrator" if properties.get("os_type") == "windows" else "root"
        )
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._domain(instance.uuid)
            power.set_password(domain, user, password)
            return power.state_of(domain)

    def power_state(self, instance_uuid: str) -> PowerState:
        with libvirt_speaks(instance_uuid, self._settings.host):
            return power.state_of(self._domain(instance_uuid))

    def power_states(self) -> dict[str, PowerState]:
        states = {}
        with libvirt_speaks():
            for domain in self._connection.get().listAllDomains():
                if is_ours(domain):
                    states[domain.UUIDString()] = power.state_of(domain)
        return states

    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        folder = self._folder(instance_uuid)
        if not folder.path.exists():
            raise DomainNotFound(instance=instance_uuid, host=self._settings.host)
        return disks.read_tail(folder.console_log, tail_bytes)

    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        with libvirt_speaks(instance_uuid, self._settings.host):
            domain = self._domain(instance_uuid)
            return diagnostics_of(domain, hypervisor=domain.connect().getType().lower())

    def clean(self) -> None:
        settings = self._settings
        if settings.image_keep_s:
            self._images.prune(
                lambda: disks.images_in_use(settings.instances), keep_s=settings.image_keep_s
            )

    def _folder(self, instance_uuid: str) -> InstanceFolder:
        return InstanceFolder(self._settings.instances, instance_uuid)

    def _domain(self, instance_uuid: str) -> Any:
        return self._connection.get().lookupByUUIDString(instance_uuid)

    def _find(self, instance_uuid: str) -> Any:
        """The instance's domain; None when there is none."""
        try:
            with libvirt_speaks(instance_uuid, self._settings.host):
                return self._domain(instance_uuid)
        except DomainNotFound:
            return None

    def _cut(self, instance_uuid: str) -> None:
        """Cut the guest's power, if there is a guest."""
        domain = self._find(instance_uuid)
        if domain is not None:
            with libvirt_speaks(instance_uuid, self._settings.host):
                power.cut(domain)

    def _hardware(self, instance: Instance) -> Hardware:
        _image(instance)
        return choose_hardware(instance, self._platform)

    def _make_disks(self, instance: Instance, checkpoint: Checkpoint) -> None:
        settings, flavor = self._settings, instance.flavor
        image, folder = _image(instance), self._folder(instance.uuid)
        folder.create()
        cached = self._images.fetch(image, disk_gib=flavor.root_gib, checkpoint=checkpoint)
        folder.make_root_disk(
            cached, self._images.path(cached), flavor.root_gib, settings.disk_format
        )
        checkpoint()
        disks.make_ephemeral_and_swap(folder, instance)
        if self._wants_config_drive(instance):
            self._write_config_drive(instance, folder.config_drive)

    def _write_config_drive(self, instance: Instance, path: Path) -> None:
        settings, guest = self._settings, GuestMetadata(instance=instance)
        config_drive.write(path, guest, settings.tree, settings.config_drive_format)

    def _wants_config_drive(self, instance: Instance) -> bool:
        by_image = _image(instance).properties.get("img_config_drive") == "mandatory"
        return instance.config_drive or by_image or self._settings.force_config_drive

    def _restart(self, instance: Instance, checkpoint: Checkpoint) -> PowerState:
        """Define the guest anew from its files and start it. Raises: DomainNotFound."""
        if not self._folder(instance.uuid).has_root_disk():
            raise DomainNotFound(instance=instance.uuid, host=self._settings.host)
        return self._define_and_start(instance, self._hardware(instance), checkpoint)

    def _define(self, instance: Instance, hardware: Hardware) -> Any:
        folder = self._folder(instance.uuid)
        # Two guests defined at once must not be given the same host CPUs.
        with self._pinning, libvirt_speaks(instance.uuid, self._settings.host):
            spec = DomainSpec(
                instance=instance,
                platform=self._platform,
                hardware=self._pinned(instance, hardware),
                disks=folder.disks(),
                vifs=instance.vifs,
                console_log=str(folder.console_log),
                config_drive_format=self._settings.config_drive_format,
            )
            domain = self._connection.get().defineXML(domain_xml(spec))
            power.forget_memory(domain)
            return domain

    def _pinned(self, instance: Instance, hardware: Hardware) -> Hardware:
        processor = hardware.processor
        if not processor.dedicated:
            return hardware
        taken = taken_cpus(self._connection.get(), but_of=instance.uuid)
        pins = choose_pins(processor.dedicated, self._platform.dedicated_cpus, taken)
        return dataclasses.replace(hardware, processor=dataclasses.replace(processor, pins=pins))

    def _define_and_start(
        self, instance: Instance, hardware: Hardware, checkpoint: Checkpoint
    ) -> PowerState:
        domain = self._define(instance, hardware)

        def start() -> None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                power.start(domain)

        vifs.start_when_plugged(
            start, instance.vifs, wait_s=self._settings.bridge_wait_s, checkpoint=checkpoint
        )
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.state_of(domain)


def _image(instance: Instance) -> ImageMeta:
    if instance.image is None:
        raise NotSupported("This host boots servers from images only.")
    return instance.image


def _undefine(domain: Any) -> None:
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise

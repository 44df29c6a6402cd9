# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver: puts image cache, files, definition and power together, a method a verb."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from common.errors import DomainNotFound, KilonovaError
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.share_mapping import HOST_TRAIT, ShareMapping
from common.space import full_disk_is_said
from common.states import PowerState, VmState
from services.compute import vifs
from services.compute.images import ImageCache
from services.compute.virt.driver import (
    Checkpoint,
    Driver,
    Inventory,
    PowerSink,
    never_cancelled,
)
from services.compute.virt.libvirt import (
    agent,
    consoles,
    disks,
    interfaces,
    live_disks,
    power,
)
from services.compute.virt.libvirt.arrivals import Arrivals
from services.compute.virt.libvirt.capabilities import choose_virt_type
from services.compute.virt.libvirt.cold_moves import ColdMoves
from services.compute.virt.libvirt.connection import Connection, libvirt_speaks
from services.compute.virt.libvirt.counters import diagnostics_of
from services.compute.virt.libvirt.departures import Departures
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.events import PowerEvents, is_ours
from services.compute.virt.libvirt.guest_disks import rescue_drive
from services.compute.virt.libvirt.guest_shares import GuestShares
from services.compute.virt.libvirt.guest_volumes import GuestVolumes
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.inventory import take_inventory
from services.compute.virt.libvirt.live_copy import copy_alive
from services.compute.virt.libvirt.offers import Offers
from services.compute.virt.libvirt.peers import Peers
from services.compute.virt.libvirt.place import place_of
from services.compute.virt.libvirt.settings import Settings
from services.compute.virt.libvirt.volume_snapshots import VolumeSnapshots
from services.compute.virt.libvirt.volume_swap import VolumeSwap
from services.compute.volumes import Volumes

LOG = logging.getLogger(__name__)

# The network service of a host that has just booted makes its bridges one after the other.
AFTER_BOOT_S = 300

_NOT_OFF = (PowerState.RUNNING, PowerState.PAUSED)


class LibvirtDriver(Driver):
    """Guests of one libvirtd."""

    def __init__(self, settings: Settings, images: ImageCache, volumes: Volumes) -> None:
        self._settings = settings
        self._images = images
        self._events = PowerEvents()
        self._connection = Connection(settings.connection_uri, opened=self._events.subscribe)
        self._guests = self._make_guests(settings, images, volumes)
        peers = Peers(settings.migration.uri)
        self._offers = Offers(settings.host, settings.instances, self._connection)
        self._cold_moves = ColdMoves(self._guests, self._offers, peers)
        self._arrivals = Arrivals(self._guests, self._offers, peers)
        self._departures = Departures(self._guests, self._offers, peers)
        self._guest_volumes = GuestVolumes(self._guests)
        self._guest_shares = GuestShares(self._guests)
        self._swap = VolumeSwap(self._guests, self._guest_volumes)
        self._volume_snapshots = VolumeSnapshots(self._guests, self._guest_volumes)

    def start(self, power_changed: PowerSink) -> None:
        settings = self._settings
        settings.instances.mkdir(parents=True, exist_ok=True)
        disks.finish_removals(settings.instances)
        self._events.sink = power_changed
        with libvirt_speaks():
            connection = self._connection.get()
            self._guests.platform = self._find_platform(connection)
            self._guests.serial_ports.learn(d for d in connection.listAllDomains() if is_ours(d))
        self._guests.find_virtiofsd()
        self._guests.name_owner()
        self._arrivals.welcome_all()
        self._guests.freezer.thaw_left(self._guests.find)
        self._guests.settle_copies()

    def _make_guests(self, settings: Settings, images: ImageCache, volumes: Volumes) -> Guests:
        return Guests(settings, images, volumes, self._connection)

    def _find_platform(self, connection: Any) -> Platform:
        """What the settings ask for, as far as this host has it. Raises: libvirtError."""
        settings = self._settings
        virt_type = choose_virt_type(connection, settings.virt_type, settings.state_folder)
        LOG.info("Guests run with %s", "KVM" if virt_type == "kvm" else "emulated CPUs (TCG)")
        platform = dataclasses.replace(settings.platform, virt_type=virt_type)
        if platform.spice_listen is None or consoles.has_spice(
            connection, platform.arch, virt_type
        ):
            return platform
        LOG.warning("This host's QEMU has no SPICE: guests get no SPICE display")
        return dataclasses.replace(platform, spice_listen=None)

    def stop(self) -> None:
        self._connection.close()

    def health(self) -> str | None:
        return self._connection.problem()

    def inventory(self) -> Inventory:
        with libvirt_speaks():
            found = take_inventory(
                self._connection.get(), self._guests.platform.virt_type, self._settings.instances
            )
        return dataclasses.replace(
            found,
            connector=self._guests.volumes.host_properties(),
            traits=(HOST_TRAIT,) if self._guest_shares.is_possible else (),
            dedicated_cpus=len(self._guests.platform.dedicated_cpus),
        )

    def build(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        paused: bool = False,
    ) -> PowerState:
        vifs.check_bound(instance.vifs)
        hardware = self._guests.hardware(instance)
        running = self._guests.find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._settings.host):
            if running is not None and not power.is_off(running):
                return power.state_of(running)
        with full_disk_is_said("the instance's disks", self._settings.instances):
            self._guests.make_disks(instance, checkpoint)
        checkpoint()
        return self._guests.define_and_start(instance, hardware, checkpoint, paused=paused)

    def destroy(self, instance: Instance) -> None:
        domain = self._guests.find(instance.uuid)
        if domain is not None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                power.cut(domain)
                self._guests.undefine(domain)
        self._guests.volumes.disconnect_all(instance.uuid)
        self._guests.shares.unmount_all(instance.uuid)
        self._offers.withdraw(instance.uuid)
        self._guests.remove_files(instance)
        self._guests.serial_ports.give_back(instance.uuid)

    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._power_on(instance, checkpoint)

    def _power_on(
        self, instance: Instance, checkpoint: Checkpoint, *, wait_s: float | None = None
    ) -> PowerState:
        domain = self._guests.find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._settings.host):
            if domain is not None and not power.is_off(domain):
                return power.state_of(domain)
        return self._guests.restart(instance, checkpoint, wait_s=wait_s)

    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)
            if not self._guests.ask_to_shut_down(domain, grace_s, checkpoint):
                power.cut(domain)
            return power.state_of(domain)

    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        domain = self._guests.find(instance.uuid)
        if domain is not None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                grace_s = 0 if hard else self._settings.soft_reboot_timeout_s
                if not self._guests.ask_to_shut_down(domain, grace_s, checkpoint):
                    if not hard:
                        LOG.warning("The guest did not shut down in %d s: cutting power", grace_s)
                    power.cut(domain)
        return self._guests.restart(instance, checkpoint)

    def pause(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.pause(self._guests.domain(instance.uuid))

    def unpause(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.unpause(self._guests.domain(instance.uuid))

    def suspend(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return power.save(self._guests.domain(instance.uuid))

    def resume(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._go_on(instance, checkpoint)

    def revive(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._go_on(instance, checkpoint, wait_s=AFTER_BOOT_S)

    def _go_on(
        self, instance: Instance, checkpoint: Checkpoint, *, wait_s: float | None = None
    ) -> PowerState:
        """From saved memory, or from the start where there is none."""
        domain = self._guests.find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._settings.host):
            if domain is None or (power.is_off(domain) and not power.has_memory(domain)):
                return self._guests.restart(instance, checkpoint, wait_s=wait_s)
            sources = self._guests.connect_volumes(instance)
            live_disks.redirect_saved(domain, sources)
        # libvirt itself goes on from the saved memory.
        self._guests.start(instance, domain, checkpoint, wait_s=wait_s)
        return self.power_state(instance.uuid)

    def rescue(
        self, instance: Instance, image: ImageMeta, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        self._guests.check_disks(instance)
        folder, drive = self._guests.folder(instance.uuid), rescue_drive(image)
        cached = self._images.fetch(image, disk_gib=0, checkpoint=checkpoint)
        try:
            with full_disk_is_said("the rescue disk", self._settings.instances):
                folder.make_rescue_disk(cached, self._images.path(cached), drive)
                if self._guests.wants_config_drive(instance):
                    self._guests.write_config_drive(instance, folder.rescue_config_drive)
            self._guests.cut(instance.uuid)
            return self._guests.restart(instance, checkpoint)
        except KilonovaError:
            folder.remove_rescue_disk()  # or a guest that was off would start from it
            raise

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        folder = self._guests.folder(instance.uuid)
        if not folder.has_rescue_disk() and self._runs(instance.uuid):
            return self.power_state(instance.uuid)  # it came to no rescue
        self._guests.cut(instance.uuid)
        folder.remove_rescue_disk()
        return self._guests.restart(instance, checkpoint)

    def _runs(self, instance_uuid: str) -> bool:
        domain = self._guests.find(instance_uuid)
        with libvirt_speaks(instance_uuid, self._settings.host):
            return domain is not None and not power.is_off(domain)

    def snapshot(
        self, instance: Instance, image_id: str, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """A guest that runs goes on; where its hypervisor cannot copy its disk meanwhile, it stands
        still for as long.
        """
        folder = self._guests.folder(instance.uuid)
        if not folder.has_root_disk():
            raise DomainNotFound(instance=instance.uuid, host=self._settings.host)
        checkpoint()
        domain = self._guests.find(instance.uuid)
        state = PowerState.SHUTDOWN if domain is None else self.power_state(instance.uuid)
        copy = None
        if state is PowerState.RUNNING:
            copy = copy_alive(
                domain, instance, folder, self._guests.image, self._guests.freezer, checkpoint
            )
        if copy is not None:
            folder.copy_root_disk(self.snapshot_path(image_id), cut_off=copy)
            return self.power_state(instance.uuid)
        # A guest that stands still though it is not paused was left so by a killed daemon.
        goes_on = instance.vm_state != VmState.PAUSED and state in _NOT_OFF
        with self._quiet(instance, domain) if state is PowerState.RUNNING else nullcontext():
            if goes_on:
                self.pause(instance)  # QEMU writes out all it holds back
            try:
                folder.copy_root_disk(self.snapshot_path(image_id))
            finally:
                if goes_on:
                    state = self.unpause(instance)
        return state

    @contextmanager
    def _quiet(self, instance: Instance, domain: Any) -> Iterator[None]:
        """The guest writes nothing meanwhile, if it has an agent that can see to that."""
        with libvirt_speaks(instance.uuid, self._settings.host):
            is_quiet = self._guests.freezer.freeze(domain, instance)
        try:
            yield
        finally:
            if is_quiet:
                with libvirt_speaks(instance.uuid, self._settings.host):
                    self._guests.freezer.thaw(domain)

    def snapshot_path(self, image_id: str) -> Path:
        return self._settings.instances / f"{image_id}{disks.SNAPSHOT}"

    def discard_snapshot(self, image_id: str) -> None:
        path = self.snapshot_path(image_id)
        for rest in (path, path.with_suffix(".part")):
            rest.unlink(missing_ok=True)

    def attach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        vifs.check_bound((vif,))
        device, wait_s = self._guests.interface(instance, vif), self._settings.bridge_wait_s
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)

        def attach() -> None:
            with libvirt_speaks(instance.uuid, self._settings.host):
                interfaces.attach(domain, vif, device)

        vifs.start_when_plugged(attach, (vif,), wait_s=wait_s, checkpoint=checkpoint)
        return self.power_state(instance.uuid)

    def detach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        within_s = self._settings.unplug_timeout_s
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)
            interfaces.detach(domain, vif, within_s=within_s, checkpoint=checkpoint)
            return power.state_of(domain)

    def attach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._guest_volumes.attach(instance, disk, checkpoint)
        return self.power_state(instance.uuid)

    def detach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._guest_volumes.detach(instance, disk, checkpoint)
        return self.power_state(instance.uuid)

    def attach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._guest_shares.attach(instance, share, checkpoint)

    def detach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._guest_shares.detach(instance, share)

    def swap_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        by: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._swap.swap(instance, disk, by, checkpoint)
        return self.power_state(instance.uuid)

    def extend_volume(self, instance: Instance, disk: BlockDeviceMapping) -> PowerState:
        self._guest_volumes.extend(instance, disk)
        return self.power_state(instance.uuid)

    def snapshot_volume(
        self, instance: Instance, disk: BlockDeviceMapping, new_file: str
    ) -> PowerState:
        self._volume_snapshots.make(instance, disk, new_file)
        return self.power_state(instance.uuid)

    def merge_volume_snapshot(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        delete_info: Mapping[str, Any],
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._volume_snapshots.merge(instance, disk, delete_info, checkpoint)
        return self.power_state(instance.uuid)

    def quiesce(self, instance: Instance) -> bool:
        with libvirt_speaks(instance.uuid, self._settings.host):
            return self._guests.freezer.freeze(self._guests.domain(instance.uuid), instance)

    def unquiesce(self, instance: Instance) -> None:
        with libvirt_speaks(instance.uuid, self._settings.host):
            self._guests.freezer.thaw(self._guests.domain(instance.uuid))

    def trigger_crash_dump(self, instance: Instance) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)
            domain.injectNMI()
            return power.state_of(domain)

    def change_password(self, instance: Instance, password: str) -> PowerState:
        properties = instance.image.properties if instance.image else {}
        user = properties.get("os_admin_user") or (
            "Administrator" if properties.get("os_type") == "windows" else "root"
        )
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)
            agent.ask(
                domain,
                lambda: domain.setUserPassword(user, password, 0),
                self._settings.agent_timeout_s,
            )
            return power.state_of(domain)

    # --- moves ---

    def set_aside(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> None:
        self._cold_moves.set_aside(instance, grace_s=grace_s, checkpoint=checkpoint)

    def take_back(
        self, instance: Instance, *, start: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._cold_moves.take_back(instance, start=start, checkpoint=checkpoint)

    def forget_aside(self, instance: Instance) -> None:
        self._cold_moves.forget_aside(instance)

    def receive(
        self,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._cold_moves.receive(
            instance, from_host=from_host, start=start, checkpoint=checkpoint
        )

    def offer_live(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> None:
        checkpoint()
        self._departures.offer(instance)

    def withdraw_live(self, instance: Instance) -> None:
        self._offers.withdraw(instance.uuid)

    def prepare_live(
        self,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> LiveTarget:
        return self._arrivals.prepare(
            instance, from_host=from_host, block_migration=block_migration, checkpoint=checkpoint
        )

    def discard_live(self, instance: Instance) -> None:
        self._arrivals.discard(instance)

    def migrate_live(
        self,
        instance: Instance,
        *,
        to_host: str,
        target: LiveTarget,
        disks_there: Sequence[BlockDeviceMapping] = (),
        checkpoint: Checkpoint = never_cancelled,
    ) -> None:
        self._departures.migrate(instance, to_host=to_host, target=target, checkpoint=checkpoint)

    def welcome(self, instance: Instance) -> PowerState:
        return self._arrivals.welcome(instance.uuid)

    def live_progress(self, instance_uuid: str) -> MigrationProgress:
        return self._departures.progress(instance_uuid)

    def complete_live(self, instance_uuid: str) -> None:
        self._departures.complete(instance_uuid)

    # --- what is known of guests ---

    def power_state(self, instance_uuid: str) -> PowerState:
        with libvirt_speaks(instance_uuid, self._settings.host):
            return power.state_of(self._guests.domain(instance_uuid))

    def power_states(self) -> dict[str, PowerState]:
        states = {}
        with libvirt_speaks():
            for domain in self._connection.get().listAllDomains():
                if not is_ours(domain):
                    continue
                state = power.state_of(domain)
                # One that is on its way here is still the other host's.
                if state is not PowerState.PAUSED or not power.is_arriving(domain):
                    states[domain.UUIDString()] = state
        return states

    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        folder = self._guests.folder(instance_uuid)
        if not folder.path.exists():
            raise DomainNotFound(instance=instance_uuid, host=self._settings.host)
        return disks.read_tail(folder.console_log, tail_bytes)

    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        with libvirt_speaks(instance_uuid, self._settings.host):
            domain = self._guests.domain(instance_uuid)
            return diagnostics_of(domain, hypervisor=domain.connect().getType().lower())

    def place(self, instance_uuid: str) -> GuestPlace:
        with libvirt_speaks(instance_uuid, self._settings.host):
            domain = self._guests.domain(instance_uuid)
            return place_of(domain.XMLDesc(0), domain.connect().getCapabilities())

    def console(self, instance_uuid: str, kind: ConsoleKind) -> ConsoleAddress:
        if kind not in consoles.KINDS:
            return super().console(instance_uuid, kind)
        with libvirt_speaks(instance_uuid, self._settings.host):
            domain = self._guests.domain(instance_uuid)
            return consoles.address_of(domain, kind, self._settings.consoles_at)

    def cache_image(self, image: ImageMeta, checkpoint: Checkpoint = never_cancelled) -> None:
        self._images.fetch(image, disk_gib=0, checkpoint=checkpoint)

    def clean(self) -> None:
        settings = self._settings
        if settings.image_keep_s:
            self._images.prune(
                lambda: disks.images_in_use(settings.instances), keep_s=settings.image_keep_s
            )

# SPDX-License-Identifier: Apache-2.0
"""ContainerDriver: the libvirt driver for guests that are containers (`virt_type = lxc`).

What machines and containers have in common is LibvirtDriver's; what containers lack is refused as
the driver interface refuses it for every driver.
"""

import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

from common.errors import DomainNotFound
from common.objects.block_device import BlockDeviceMapping
from common.objects.diagnostics import Diagnostics
from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from common.objects.share_mapping import ShareMapping
from common.states import PowerState, VmState
from services.compute.images import ImageCache
from services.compute.virt.driver import Checkpoint, Driver, PowerSink, never_cancelled
from services.compute.virt.libvirt import interfaces, power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.domain_xml.spec import Platform
from services.compute.virt.libvirt.driver import AFTER_BOOT_S, LibvirtDriver
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.lxc.console_logs import ConsoleLogs
from services.compute.virt.libvirt.lxc.counters import container_diagnostics
from services.compute.virt.libvirt.lxc.guests import ContainerGuests
from services.compute.virt.libvirt.lxc.short_paths import ShortPaths
from services.compute.virt.libvirt.settings import Settings
from services.compute.volumes import Volumes

LOG = logging.getLogger(__name__)


class ContainerDriver(LibvirtDriver):
    """Containers of one libvirtd."""

    def __init__(self, settings: Settings, images: ImageCache, volumes: Volumes) -> None:
        self._short_paths = ShortPaths(settings.state_folder / "l")
        super().__init__(settings, images, volumes)
        self._consoles = ConsoleLogs(settings.connection_uri, self._console_log)

    def start(self, power_changed: PowerSink) -> None:
        self._short_paths.check()
        self._consoles.start()

        def changed(instance_uuid: str) -> None:
            self._consoles.follow(instance_uuid)
            power_changed(instance_uuid)

        super().start(changed)

    def stop(self) -> None:
        self._consoles.stop()
        super().stop()

    def _make_guests(self, settings: Settings, images: ImageCache, volumes: Volumes) -> Guests:
        return ContainerGuests(
            settings, images, volumes, self._connection, short_paths=self._short_paths
        )

    def _find_platform(self, connection: Any) -> Platform:
        LOG.info("Guests are containers, which share the kernel of this host")
        return dataclasses.replace(
            self._settings.platform,
            virt_type="lxc", vnc_listen=None, spice_listen=None, serial_listen=None,
        )  # fmt: skip

    def _console_log(self, instance_uuid: str) -> Path:
        return self._guests.folder(instance_uuid).console_log

    def snapshot(
        self, instance: Instance, image_id: str, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """A container that runs stands still while its disk is copied."""
        folder = self._guests.folder(instance.uuid)
        if not folder.has_root_disk():
            raise DomainNotFound(instance=instance.uuid, host=self._settings.host)
        checkpoint()
        domain = self._guests.find(instance.uuid)
        state = PowerState.SHUTDOWN if domain is None else self.power_state(instance.uuid)
        # One that stands still though it is not paused was left so by a killed daemon.
        is_up = state in (PowerState.RUNNING, PowerState.PAUSED)
        goes_on = is_up and instance.vm_state != VmState.PAUSED
        if goes_on:
            self.pause(instance)
        try:
            if is_up:
                os.sync()  # what it has written is in the kernel, not yet in the file
            folder.copy_root_disk(self.snapshot_path(image_id))
        finally:
            if goes_on:
                state = self.unpause(instance)
        return state

    def detach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        with libvirt_speaks(instance.uuid, self._settings.host):
            domain = self._guests.domain(instance.uuid)
            interfaces.remove(domain, vif)
            return power.state_of(domain)

    def revive(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._power_on(instance, checkpoint, wait_s=AFTER_BOOT_S)

    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        with libvirt_speaks(instance_uuid, self._settings.host):
            return container_diagnostics(self._guests.domain(instance_uuid))

    # --- undoing what is refused: there is nothing to undo ---

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self.power_state(instance.uuid)

    def detach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self.power_state(instance.uuid)

    def detach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self.power_state(instance.uuid)

    # --- what containers lack ---

    # Memory that is saved, and file systems that an agent freezes.
    suspend = Driver.suspend
    resume = Driver.resume
    quiesce = Driver.quiesce
    unquiesce = Driver.unquiesce
    # A disk that they start from, and a firmware that chooses it.
    rescue = Driver.rescue
    trigger_crash_dump = Driver.trigger_crash_dump
    change_password = Driver.change_password
    console = Driver.console
    # Block devices.
    attach_volume = Driver.attach_volume
    swap_volume = Driver.swap_volume
    extend_volume = Driver.extend_volume
    snapshot_volume = Driver.snapshot_volume
    merge_volume_snapshot = Driver.merge_volume_snapshot
    # A device by which a guest's kernel mounts what the host has mounted.
    attach_share = Driver.attach_share
    # Processes that move to another kernel.
    offer_live = Driver.offer_live
    prepare_live = Driver.prepare_live
    migrate_live = Driver.migrate_live
    welcome = Driver.welcome
    complete_live = Driver.complete_live

# SPDX-License-Identifier: Apache-2.0
"""The driver interface: the only door to a hypervisor.

A driver stands for one host. It knows no RPC, no database and no caller: what it learns it returns
or raises, except for power states that changed by themselves, which go to the sink of `start`.
Methods may be called from several threads at once, but never twice at once for one instance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import NotSupported
from common.objects.diagnostics import Diagnostics
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.resources import Resources
from common.states import PowerState

# Called between the parts of a long operation; raises OperationCancelled when it was asked to stop.
Checkpoint = Callable[[], None]
# Told the uuid of an instance whose power state may have changed. Must return at once.
PowerSink = Callable[[str], None]


def never_cancelled() -> None:
    """The checkpoint of an operation that nobody can cancel."""


def lacks(ability: str) -> NotSupported:
    """What a driver raises that cannot do `ability`."""
    return NotSupported(f"The hypervisor driver of this host cannot {ability}.")


@dataclass(frozen=True)
class Inventory:
    """What a host has. `supported` is (architecture, hypervisor type, vm mode) triples.

    `hypervisor_version` is the number major * 1000000 + minor * 1000 + release.
    """

    node: str
    hypervisor_type: str
    hypervisor_version: int
    total: Resources
    free_disk_gib: int
    running_instances: int
    arch: str = "x86_64"
    supported: tuple[tuple[str, str, str], ...] = ()
    cpu_info: dict[str, Any] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    uptime: str | None = None


class Driver(ABC):
    """One hypervisor host. Every method may raise HypervisorError beside what it names."""

    @abstractmethod
    def start(self, power_changed: PowerSink) -> None:
        """Connect, and tell `power_changed` from now on of guests whose power state changes.

        Again: not allowed. Raises: HypervisorError when the hypervisor will never answer; one
        that is merely away is waited for by the calls that need it.
        """

    @abstractmethod
    def stop(self) -> None:
        """Disconnect; guests go on. Again: nothing."""

    @abstractmethod
    def health(self) -> str | None:
        """What is wrong with the hypervisor, in words; None when all is well. Blocks: no."""

    @abstractmethod
    def inventory(self) -> Inventory:
        """What the host has now. Blocks: for well under a second."""

    @abstractmethod
    def build(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Make the instance's disks, config drive and guest, and start it; its power state.

        Again: what is there is kept, what is half made is made anew, a guest that runs goes on.
        Raises: ImageNotFound, ImageUnacceptable, DiskFull, Unavailable (the image service),
        OperationCancelled; then `destroy` removes what was made.
        Blocks: for the download of the image.
        """

    @abstractmethod
    def destroy(self, instance: Instance) -> None:
        """Remove the guest, at once, and its disks, with those that were set aside.

        Again: nothing left to remove is fine.
        """

    @abstractmethod
    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Start the guest, defined anew from `instance` if it was lost; its power state.

        Again: a guest that runs goes on.
        Raises: DomainNotFound when its disks are gone; OperationCancelled.
        """

    @abstractmethod
    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Ask the guest to shut down; cut its power after `grace_s` seconds (0: at once).

        Again: a guest that is off stays off.
        Raises: DomainNotFound; OperationCancelled (the guest may still go down).
        Blocks: for `grace_s` and a little.
        """

    @abstractmethod
    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Restart the guest: by its own shutdown, or `hard` with its definition made anew.

        A guest that does not follow in the driver's time is rebooted hard.
        Again: the guest is restarted once more.
        Raises: DomainNotFound when its disks are gone; OperationCancelled.
        """

    def pause(self, instance: Instance) -> PowerState:
        """Stop the guest's CPUs. Again: they stay stopped. Raises: DomainNotFound, NotSupported."""
        raise lacks("pause guests")

    def unpause(self, instance: Instance) -> PowerState:
        """Let the CPUs go on. Again: they go on. Raises: DomainNotFound, NotSupported."""
        raise lacks("pause guests")

    def suspend(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Save the guest's memory to the host's disk and stop it.

        Again: what is saved stays saved.
        Raises: DomainNotFound, NotSupported, DiskFull, OperationCancelled.
        Blocks: for as long as writing the memory takes.
        """
        raise lacks("suspend guests")

    def resume(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Let the guest go on from its saved memory; it boots where there is none.

        Again: a guest that runs goes on. Raises: DomainNotFound, NotSupported, OperationCancelled.
        """
        raise lacks("suspend guests")

    def rescue(
        self, instance: Instance, image: ImageMeta, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Start the guest from a disk made of `image`, with its own disks beside it.

        Again: a rescue disk that is there is kept, the guest is started anew.
        Raises: DomainNotFound, NotSupported, ImageNotFound, ImageUnacceptable, DiskFull,
        Unavailable (the image service), OperationCancelled; then `unrescue` brings it back.
        Blocks: for the download of the image.
        """
        raise lacks("rescue guests")

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Start the guest from its own disk again and remove the rescue disk.

        Again: a guest without a rescue disk is started anew.
        Raises: DomainNotFound, NotSupported, OperationCancelled.
        """
        raise lacks("rescue guests")

    def rebuild(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        preserve_ephemeral: bool = False,
    ) -> PowerState:
        """Make disks and guest anew from the image that `instance` has now, and start it.

        Again: once more, from the beginning. Raises: what `build` raises, and NotSupported.
        Blocks: for the download of the image.
        """
        if preserve_ephemeral:
            raise lacks("keep ephemeral disks when it rebuilds a guest")
        self.destroy(instance)
        return self.build(instance, checkpoint)

    def snapshot(
        self, instance: Instance, image_id: str, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Write what the root disk has now as one qcow2 file, `snapshot_path(image_id)`.

        Again: it is written anew. Raises: DomainNotFound, NotSupported, DiskFull,
        OperationCancelled; then `discard_snapshot` removes what was made.
        Blocks: for as long as copying the disk takes.
        """
        raise lacks("take snapshots")

    def snapshot_path(self, image_id: str) -> Path:
        """Where `snapshot` writes, whether or not there is anything yet."""
        raise lacks("take snapshots")

    def discard_snapshot(self, image_id: str) -> None:
        """Remove what `snapshot` wrote. Again: nothing left to remove is fine."""
        raise lacks("take snapshots")

    def attach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Give the guest a device for one more port, running or not; its power state.

        Again: a device that is there is kept.
        Raises: DomainNotFound, NotSupported, OperationCancelled.
        Blocks: for as long as the port's bridge is waited for.
        """
        raise lacks("attach interfaces")

    def detach_interface(self, instance: Instance, vif: VirtualInterface) -> PowerState:
        """Take the device of a port from the guest; its power state.

        Again: nothing to take away is fine. Raises: DomainNotFound, NotSupported.
        """
        raise lacks("detach interfaces")

    def trigger_crash_dump(self, instance: Instance) -> PowerState:
        """Send the guest a non-maskable interrupt. Again: another one.

        Raises: DomainNotFound, NotSupported.
        """
        raise lacks("trigger crash dumps")

    def change_password(self, instance: Instance, password: str) -> PowerState:
        """Set the password of the guest's administrator. Again: the last one holds.

        Raises: DomainNotFound, NotSupported (no agent answers in the guest).
        """
        raise lacks("change passwords of guests")

    # --- moves to other hosts, and to other flavors ---

    def set_aside(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> None:
        """Switch the guest off within `grace_s` seconds and keep its disks aside.

        Again: they are aside. Raises: DomainNotFound, NotSupported, OperationCancelled.
        """
        raise lacks("move guests")

    def take_back(
        self, instance: Instance, *, start: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Use the disks that were set aside again, and `start` the guest or leave it off.

        What `receive` made of them on this host is removed.
        Again: a guest that has its disks keeps them. Raises: DomainNotFound, NotSupported.
        """
        raise lacks("move guests")

    def forget_aside(self, instance: Instance) -> None:
        """Remove the disks that were set aside. Again, or without any: fine."""
        raise lacks("move guests")

    def receive(
        self,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Make the guest, with the instance's flavor, of the disks that `from_host` set aside.

        `from_host` may be this host. Again: what is there is kept.
        Raises: NotSupported, DiskFull, OperationCancelled; then `destroy` removes what was made.
        """
        raise lacks("move guests")

    def migrate_live(
        self,
        instance: Instance,
        *,
        to_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> None:
        """Move the running guest to `to_host`; with its disks, too, or (None) where they need it.

        Again: a guest that has gone is gone. Raises: DomainNotFound, NotSupported,
        OperationCancelled (the guest stays). Blocks: until the guest runs there.
        """
        raise lacks("move running guests")

    def welcome(self, instance: Instance) -> PowerState:
        """The power state of a guest that has arrived alive. Raises: DomainNotFound."""
        raise lacks("move running guests")

    def live_progress(self, instance_uuid: str) -> MigrationProgress:
        """How far the guest's live migration is; nothing known when there is none."""
        return MigrationProgress()

    def complete_live(self, instance_uuid: str) -> None:
        """Have a live migration end soon, at the price of a longer pause. Again: nothing.

        Raises: NotSupported.
        """
        raise lacks("move running guests")

    @abstractmethod
    def power_state(self, instance_uuid: str) -> PowerState:
        """The guest's power state. Raises: DomainNotFound."""

    @abstractmethod
    def power_states(self) -> dict[str, PowerState]:
        """Every guest of ours on the host, by instance uuid. Blocks: for 1 ms a guest at most."""

    @abstractmethod
    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        """The end of the guest's serial log; empty while it has none. Raises: DomainNotFound."""

    @abstractmethod
    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        """What the hypervisor counts of the guest, which may be off. Raises: DomainNotFound."""

    @abstractmethod
    def clean(self) -> None:
        """Housekeeping between operations, called now and then: drop caches that nobody uses."""

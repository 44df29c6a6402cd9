# SPDX-License-Identifier: Apache-2.0
"""The driver interface: the only door to a hypervisor.

A driver stands for one host. It knows no RPC, no database and no caller: what it learns it returns
or raises, except for power states that changed by themselves, which go to the sink of `start`.
Methods may be called from several threads at once, but never twice at once for one instance.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import NotSupported
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
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

    `hypervisor_version` is the number major * 1000000 + minor * 1000 + release. `connector` is
    how the host reaches volumes, as os-brick describes it.
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
    connector: dict[str, Any] = field(default_factory=dict)


class Driver(ABC):
    """One hypervisor host. Every method may raise HypervisorError beside what it names."""

    @abstractmethod
    def start(self, power_changed: PowerSink) -> None:
        """Connect, and tell `power_changed` from now on of guests whose power state changes.

        Guests that have arrived alive meanwhile are looked after, as by `welcome`, and those that
        a killed daemon has left frozen go on.

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
    def build(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        paused: bool = False,
    ) -> PowerState:
        """Make the instance's disks, config drive and guest, and start it; its power state.

        `paused`: with its CPUs stopped, so that it does nothing until `unpause`. A hypervisor that
        cannot do that starts it as ever, which its power state shows.
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

    def revive(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Have a guest run again that went down with its host.

        Where somebody saved its memory meanwhile, as libvirt-guests does, it goes on from that.
        Again: a guest that runs goes on. Raises: DomainNotFound when its disks are gone;
        OperationCancelled.
        """
        return self.power_on(instance, checkpoint)

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

    def detach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Take the device of a port from the guest; its power state.

        Again: nothing to take away is fine.
        Raises: DomainNotFound, NotSupported, OperationCancelled; HypervisorError when the guest
        does not let go of it.
        Blocks: until the guest has let go, for the driver's time at most.
        """
        raise lacks("detach interfaces")

    # --- volumes ---

    # `build`, `power_on`, `reboot`, `resume`, `rebuild`, `receive` and `take_back` connect the
    # volumes among `instance.block_devices` and give the guest them all; `destroy` and `set_aside`
    # disconnect them.

    def attach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Connect a volume and give it to the guest, running or not; its power state.

        Again: one that is there is kept.
        Raises: DomainNotFound, NotSupported, OperationCancelled; then `detach_volume` cleans up.
        """
        raise lacks("attach volumes")

    def detach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Take a volume from the guest and disconnect it; the guest's power state.

        Again: nothing to take away is fine.
        Raises: DomainNotFound, NotSupported, OperationCancelled; HypervisorError when the guest
        does not let go of it.
        Blocks: until the guest has let go, half a minute at most.
        """
        raise lacks("detach volumes")

    def swap_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        by: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Copy `disk` to `by`, which the guest uses from then on; disconnect `disk`.

        Again, or where the guest uses `by` all along: only `disk` is disconnected.
        Raises: DomainNotFound, NotSupported, OperationCancelled (the guest goes on with `disk`).
        Blocks: for the copy.
        """
        raise lacks("swap volumes")

    def extend_volume(self, instance: Instance, disk: BlockDeviceMapping) -> PowerState:
        """Show the guest that its volume has `disk.size_gib` GiB now. Again: the same.

        Raises: DomainNotFound, NotSupported.
        """
        raise lacks("extend volumes")

    def snapshot_volume(
        self, instance: Instance, disk: BlockDeviceMapping, new_file: str
    ) -> PowerState:
        """Have the guest write into `new_file`, beside the volume's file, from now on.

        Again: it does. Raises: DomainNotFound, NotSupported, HypervisorError.
        """
        raise lacks("take snapshots of volumes")

    def merge_volume_snapshot(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        delete_info: Mapping[str, Any],
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Merge one file of `snapshot_volume` into a neighbour, as the volume service says.

        Again: it is merged. Raises: DomainNotFound, NotSupported, OperationCancelled.
        Blocks: for the copy.
        """
        raise lacks("merge snapshots of volumes")

    def quiesce(self, instance: Instance) -> bool:
        """Freeze the guest's file systems through its agent; whether one answered.

        Again: they stay frozen. Raises: DomainNotFound; NotSupported, where the image requires a
        quiet guest and there is none.
        """
        return False

    def unquiesce(self, instance: Instance) -> None:
        """Let the guest's file systems go on. Again: they do. Raises: DomainNotFound."""
        raise lacks("freeze file systems of guests")

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

    def offer_live(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> None:
        """Let another host see what it needs to take the running guest in, in `prepare_live`.

        Again: anew. Raises: DomainNotFound, NotSupported; HypervisorError when the guest is off.
        """
        raise lacks("move running guests")

    def withdraw_live(self, instance: Instance) -> None:
        """Offer it no more: it stays. Again, or nothing offered: fine."""
        raise lacks("move running guests")

    def prepare_live(
        self,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> LiveTarget:
        """Make ready for a guest that `from_host` offers; what its way here must know.

        With room for its disks, too, or (`block_migration` None) where they are not shared.
        `instance.block_devices` are its block devices as this host reaches them.

        Again: what is there is kept.
        Raises: NotSupported, Invalid (the guest does not fit this host, or its disks the kind of
        move that was asked for), DiskFull, OperationCancelled; then `discard_live` removes what
        was made. Blocks: for the download of the image.
        """
        raise lacks("move running guests")

    def discard_live(self, instance: Instance) -> None:
        """Remove what `prepare_live` made, for a guest that has not come. Again: fine.

        A guest that is still on its way stays where it was. Raises: GuestHasArrived: then nothing
        is removed.
        """
        raise lacks("move running guests")

    def migrate_live(
        self,
        instance: Instance,
        *,
        to_host: str,
        target: LiveTarget,
        disks_there: Sequence[BlockDeviceMapping] = (),
        checkpoint: Checkpoint = never_cancelled,
    ) -> None:
        """Move the running guest to `to_host`, where `prepare_live` gave `target`.

        Its files are removed here once it has gone, unless they are shared.

        `disks_there` are its block devices as `to_host` reaches them; this host disconnects its
        volumes once the guest has gone.

        Again: a guest that has gone is gone. Raises: DomainNotFound, NotSupported,
        OperationCancelled (the guest stays). Blocks: until the guest runs there.
        """
        raise lacks("move running guests")

    def welcome(self, instance: Instance) -> PowerState:
        """Look after a guest that has arrived alive; its power state. Again: the same.

        Raises: DomainNotFound.
        """
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

    def console(self, instance_uuid: str, kind: ConsoleKind) -> ConsoleAddress:
        """Where the guest's screen or serial port listens, as the console daemon reaches it.

        Raises: DomainNotFound; InstanceNotReady, while the guest is off; ConsoleTypeUnavailable,
        where it has none of the kind; NotSupported, where no guest of the driver has.
        Blocks: for some milliseconds.
        """
        raise lacks(f"show {kind} consoles of guests")

    @abstractmethod
    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        """What the hypervisor counts of the guest, which may be off. Raises: DomainNotFound."""

    def place(self, instance_uuid: str) -> GuestPlace:
        """Where on the host the guest is, which may be off. Raises: DomainNotFound."""
        return GuestPlace()

    @abstractmethod
    def cache_image(self, image: ImageMeta, checkpoint: Checkpoint = never_cancelled) -> None:
        """Fetch an image that guests may be built from soon, where the host keeps images.

        Again: one that is there is kept. Raises: ImageNotFound, ImageUnacceptable, DiskFull,
        Unavailable, OperationCancelled. Blocks: for the download.
        """

    @abstractmethod
    def clean(self) -> None:
        """Housekeeping between operations, called now and then: drop caches that nobody uses."""

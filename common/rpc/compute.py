# SPDX-License-Identifier: Apache-2.0
"""What a compute host does for the conductor.

A daemon may serve several hosts (the fake driver does), so a message names its `host`. Casts are
operations: they carry an id, run once per id however often they arrive, one after another for one
instance, and end in a report to the conductor (`Reports.operation_done`).
"""

from typing import Any

from common.context import RequestContext
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.host_power import HostPowerAction
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.share_mapping import ShareMapping
from common.rpc.interface import Interface, call, cast


class Compute(Interface, topic="kilonova-compute", version="1.0"):
    """What a compute host does for the conductor.

    1.0  first release
    """

    @cast()
    def build(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, paused: bool = False
    ) -> None:
        """Make disks, config drive and domain of `instance` and start it; `paused`: with its CPUs
        stopped, where the hypervisor can, until `unpause`.

        Reports `{"power_state": int}`. Again: what is there already is kept or made anew.
        """

    @cast()
    def destroy(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Remove the guest and its disks from the host. Again: nothing left to remove is fine."""

    @cast()
    def power_on(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Start the guest; rebuild its domain from `instance` if it is lost."""

    @cast()
    def power_off(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, grace_s: int = 60
    ) -> None:
        """Ask the guest to shut down, cut its power after `grace_s` seconds (0: at once)."""

    @cast()
    def reboot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, hard: bool = False
    ) -> None:
        """Restart the guest: softly by ACPI or agent, or `hard` with a domain made anew.

        A soft reboot that the guest does not follow within the host's time becomes a hard one.
        """

    @cast()
    def pause(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Stop the guest's CPUs."""

    @cast()
    def unpause(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Let the guest's CPUs go on."""

    @cast()
    def suspend(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Save the guest's memory to disk and stop it."""

    @cast()
    def resume(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Let the guest go on from its saved memory."""

    @cast()
    def revive(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Have a guest run again that went down with its host, with its memory if that was kept."""

    @cast()
    def rescue(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image: ImageMeta
    ) -> None:
        """Start the guest from a disk made of `image`, its own disks beside it."""

    @cast()
    def unrescue(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Start the guest from its own disk again and remove the rescue disk."""

    @cast()
    def rebuild(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        preserve_ephemeral: bool = False,
    ) -> None:
        """Make disks and guest anew from the image that `instance` has now, and start it."""

    @cast()
    def snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        """Write what the root disk has now into a file for the image; the guest goes on."""

    @cast()
    def upload_snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        """Send the file that `snapshot` wrote to the image service, and remove it.

        Again: an image that has its data is left alone.
        """

    @cast()
    def discard_snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        """Remove the file that `snapshot` wrote. Again: nothing left to remove is fine."""

    @cast()
    def attach_interface(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, vif: VirtualInterface
    ) -> None:
        """Give the guest a device for one more port. Again: one that is there is kept."""

    @cast()
    def detach_interface(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, vif: VirtualInterface
    ) -> None:
        """Take the device of a port from the guest. Again: nothing to take away is fine."""

    @cast()
    def attach_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        """Give the guest a volume as one more disk. Again: one that is there is kept."""

    @cast()
    def detach_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        """Take a volume from the guest. Again: nothing to take away is fine."""

    @cast()
    def swap_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        by: BlockDeviceMapping,
    ) -> None:
        """Copy what a volume of the guest has to another one, which takes its place."""

    @cast()
    def extend_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        """Show the guest that its volume has grown, to `disk.size_gib`."""

    @cast()
    def snapshot_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        new_file: str,
    ) -> None:
        """Have the guest write into `new_file`, beside the volume's file, from now on."""

    @cast()
    def merge_volume_snapshot(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        delete_info: dict[str, Any],
    ) -> None:
        """Merge a file of `snapshot_volume` into the one below it, or the one above."""

    @cast()
    def attach_share(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, share: ShareMapping
    ) -> None:
        """Mount a share for a guest that is off. Again: one that is there is kept."""

    @cast()
    def detach_share(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, share: ShareMapping
    ) -> None:
        """Take a share from a guest that is off. Again: nothing to take away is fine."""

    @cast()
    def trigger_crash_dump(
        self, ctx: RequestContext, op: str, host: str, instance: Instance
    ) -> None:
        """Send the guest a non-maskable interrupt."""

    @cast()
    def change_password(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, password: str
    ) -> None:
        """Set the password of the guest's administrator, through its agent."""

    @cast()
    def set_aside(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, grace_s: int = 60
    ) -> None:
        """Switch the guest off and keep its disks aside for another host, or for its return."""

    @cast()
    def take_back(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, start: bool
    ) -> None:
        """Use the disks that were set aside again; `start` the guest, or leave it off."""

    @cast()
    def forget_aside(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Remove the disks that were set aside."""

    @cast()
    def receive(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
    ) -> None:
        """Make the guest of the disks that `from_host` (maybe this one) has set aside.

        Reports `{"power_state": int}`.
        """

    @cast()
    def offer_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Let another host see what it needs to take the running guest in."""

    @cast()
    def withdraw_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Offer it no more. Again: nothing is offered."""

    @cast()
    def prepare_live(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None = None,
    ) -> None:
        """Make ready for a guest that moves here alive; None: with its disks where these need it.

        Reports a LiveTarget.
        """

    @cast()
    def discard_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Remove what was made ready for a guest that did not come. Again: nothing is left."""

    @cast()
    def migrate_live(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        to_host: str,
        target: LiveTarget,
        disks_there: tuple[BlockDeviceMapping, ...] = (),
    ) -> None:
        """Move the running guest to `to_host`, which has prepared `target`.

        `disks_there` are its block devices as `to_host` reaches them.
        """

    @cast()
    def welcome(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        """Look after a guest that has arrived alive. Reports `{"power_state": int}`."""

    @call(timeout_s=10)
    def live_progress(
        self, ctx: RequestContext, host: str, instance_uuid: str
    ) -> MigrationProgress:
        """How far the live migration of a guest on this host is."""

    @call(timeout_s=10)
    def complete_live(self, ctx: RequestContext, host: str, instance_uuid: str) -> None:
        """Have a live migration end soon. Raises: NotSupported."""

    @cast()
    def cache_images(self, ctx: RequestContext, host: str, image_ids: list[str]) -> None:
        """Fetch images into the host's cache, one after another, before a boot needs them.

        No operation: nothing is reported. What cannot be fetched is logged, and the first boot
        tries again.
        """

    @cast()
    def cancel(self, ctx: RequestContext, op: str, host: str) -> None:
        """Give operation `op` up where it can be given up; it reports as failed then."""

    @call(timeout_s=30)
    def power_host(self, ctx: RequestContext, host: str, *, action: HostPowerAction) -> None:
        """Power the host on or off, or off and on; its guests stay off. Raises: NotSupported."""

    @call(timeout_s=30)
    def set_maintenance(self, ctx: RequestContext, host: str, *, on: bool) -> None:
        """Begin or end maintenance of the host. Again: nothing. Raises: NotSupported."""

    @call(timeout_s=30)
    def console_output(
        self, ctx: RequestContext, host: str, instance: Instance, *, tail_bytes: int = 102400
    ) -> str:
        """The end of the guest's serial log; empty while it has none."""

    @call(timeout_s=15)
    def console(
        self, ctx: RequestContext, host: str, instance_uuid: str, *, kind: ConsoleKind
    ) -> ConsoleAddress:
        """Where the guest's console listens.

        Raises: DomainNotFound, InstanceNotReady (it is off), ConsoleTypeUnavailable, NotSupported.
        """

    @call(timeout_s=60)
    def quiesce(self, ctx: RequestContext, host: str, instance: Instance) -> bool:
        """Have the guest's agent freeze its file systems, for a minute at most; whether it did.

        Raises: DomainNotFound; NotSupported, where the image requires it and it cannot be.
        """

    @call(timeout_s=60)
    def unquiesce(self, ctx: RequestContext, host: str, instance: Instance) -> None:
        """Let the guest's file systems go on. Again: they do."""

    @call(timeout_s=30)
    def place(self, ctx: RequestContext, host: str, instance_uuid: str) -> GuestPlace:
        """Which of the host's CPUs and NUMA nodes the guest has. Raises: DomainNotFound."""

    @call(timeout_s=30)
    def diagnostics(self, ctx: RequestContext, host: str, instance_uuid: str) -> Diagnostics:
        """What the hypervisor counts of the guest. Raises: DomainNotFound, NotSupported."""

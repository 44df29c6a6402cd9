# SPDX-License-Identifier: Apache-2.0
"""Moves of guests that run on meanwhile."""

from collections.abc import Sequence

from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class LiveMoveAbilities:
    """One host offers a guest and sends it, another prepares for it and welcomes it."""

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

# SPDX-License-Identifier: Apache-2.0
"""Images made of guests, and guests that are quiet meanwhile."""

from pathlib import Path

from common.objects.instance import Instance
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class SnapshotAbilities:
    """Snapshots of root disks, and file systems that are frozen."""

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

    def quiesce(self, instance: Instance) -> bool:
        """Freeze the guest's file systems through its agent; whether one answered.

        Again: they stay frozen. Raises: DomainNotFound; NotSupported, where the image requires a
        quiet guest and there is none.
        """
        return False

    def unquiesce(self, instance: Instance) -> None:
        """Let the guest's file systems go on. Again: they do. Raises: DomainNotFound."""
        raise lacks("freeze file systems of guests")

# SPDX-License-Identifier: Apache-2.0
"""Volumes of guests that are there."""

from collections.abc import Mapping
from typing import Any

from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class VolumeAbilities:
    """Volumes that come, go, grow and have snapshots.

    `Driver.build`, `power_on`, `reboot`, `resume`, `rebuild`, `receive` and `take_back` connect the
    volumes among `instance.block_devices` and give the guest them all; `destroy` and `set_aside`
    disconnect them.
    """

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

# SPDX-License-Identifier: Apache-2.0
"""Moves to other hosts and flavors, of guests that are switched off for it."""

from common.objects.instance import Instance
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class ColdMoveAbilities:
    """One host sets disks aside, and takes them back or forgets them; one receives them."""

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

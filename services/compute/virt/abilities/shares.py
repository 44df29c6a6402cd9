# SPDX-License-Identifier: Apache-2.0
"""Shared file systems of guests."""

from common.objects.instance import Instance
from common.objects.share_mapping import ShareMapping
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class ShareAbilities:
    """One share more, or one less.

    A driver that can give shares to guests has HOST_TRAIT (common/objects/share_mapping.py) among
    its traits. Its `build`, `power_on`, `reboot` and `rebuild` mount `instance.attached_shares` and
    give the guest them all, and no others; `destroy` unmounts them.
    """

    def attach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Mount a share for a guest that is off, which has it at its next start; its power state.

        Again: one that is there is kept. Raises: DomainNotFound, NotSupported,
        OperationCancelled; then `detach_share` cleans up.
        Blocks: for the mount.
        """
        raise lacks("give shares to guests")

    def detach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Take a share from a guest that is off; its power state.

        Again: nothing to take away is fine. Raises: DomainNotFound, NotSupported,
        OperationCancelled.
        """
        raise lacks("give shares to guests")

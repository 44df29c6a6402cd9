# SPDX-License-Identifier: Apache-2.0
"""Interfaces of guests that are there."""

from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class InterfaceAbilities:
    """One port more, or one less."""

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

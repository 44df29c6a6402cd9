# SPDX-License-Identifier: Apache-2.0
"""Shares of a guest that is off: one more, one less."""

import msgspec

from common.errors import InstanceInvalidState
from common.objects.instance import Instance
from common.objects.share_mapping import ShareMapping
from common.states import PowerState
from services.compute.virt.driver import Checkpoint, lacks
from services.compute.virt.libvirt import power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.guests import Guests


class GuestShares:
    """What attaching and detaching mean here: the guest is defined anew."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    @property
    def is_possible(self) -> bool:
        """Whether guests of this host can have shares."""
        return self._guests.virtiofsd is not None

    def attach(self, instance: Instance, share: ShareMapping, checkpoint: Checkpoint) -> PowerState:
        """Mount it for the guest, which has it at its next start. Again: it is there.

        Raises: DomainNotFound, NotSupported, HypervisorError, OperationCancelled.
        """
        if not self.is_possible:
            raise lacks("give shares to guests")
        self._check_off(instance)
        self._guests.shares.mount(instance.uuid, share)
        checkpoint()
        given = msgspec.structs.replace(share, is_given=True)
        return self._define(instance, (*_without(instance, share), given))

    def detach(self, instance: Instance, share: ShareMapping) -> PowerState:
        """Take it from the guest and unmount it. Again: fine without it.

        Raises: DomainNotFound, HypervisorError.
        """
        self._check_off(instance)
        state = self._define(instance, _without(instance, share))
        self._guests.shares.unmount(instance.uuid, share)
        return state

    def _check_off(self, instance: Instance) -> None:
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            state = power.state_of(self._guests.domain(instance.uuid))
        if state not in (PowerState.SHUTDOWN, PowerState.CRASHED):
            raise InstanceInvalidState(
                operation="share", instance=instance.uuid, attribute="power_state",
                state=state.name.lower(),
            )  # fmt: skip

    def _define(self, instance: Instance, shares: tuple[ShareMapping, ...]) -> PowerState:
        self._guests.check_disks(instance)
        changed = msgspec.structs.replace(instance, shares=shares)
        domain = self._guests.define(changed, self._guests.hardware(instance))
        with libvirt_speaks(instance.uuid, self._guests.settings.host):
            return power.state_of(domain)


def _without(instance: Instance, share: ShareMapping) -> tuple[ShareMapping, ...]:
    return tuple(each for each in instance.shares if each.uuid != share.uuid)

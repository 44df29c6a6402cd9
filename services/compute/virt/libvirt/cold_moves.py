# SPDX-License-Identifier: Apache-2.0
"""Cold moves: a guest is switched off, its disks wait aside, and a guest is made of a copy of them.

The disks that wait are never written to: a move that is taken back, or reverted, brings back what
was there when the guest was switched off.
"""

import logging
from pathlib import Path

from common.errors import DomainNotFound, HypervisorError, Invalid
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.states import PowerState
from services.compute import vifs
from services.compute.images import GIB
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import disks, power, tpm_states
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.disk_files import put_on, virtual_size
from services.compute.virt.libvirt.disks import InstanceFolder
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.offers import BASE, Offer, Offers
from services.compute.virt.libvirt.peers import Peers, Shipment

LOG = logging.getLogger(__name__)

# What moves, beside ephemeral disks. Swap is made anew: nothing in it outlives the guest's memory.
_FILES = (disks.ROOT, disks.CONFIG_DRIVE, disks.NVRAM, disks.TPM)


class ColdMoves:
    """What the driver's methods of these names do."""

    def __init__(self, guests: Guests, offers: Offers, peers: Peers) -> None:
        self._guests = guests
        self._offers = offers
        self._peers = peers
        self._host = guests.settings.host

    def set_aside(self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint) -> None:
        folder, aside = self._folders(instance.uuid)
        if folder.exists and _is_of(folder, self._host):
            aside.remove()  # of an earlier move, whose end never came here
            self._switch_off(instance, grace_s, checkpoint)
            folder.take(self._host)
            folder.set_aside(aside)
            self._guests.serial_ports.give_back(instance.uuid)
        elif not aside.exists:
            raise DomainNotFound(instance=instance.uuid, host=self._host)
        self._guests.volumes.disconnect_all(instance.uuid)
        self._offer(instance.uuid, aside)

    def take_back(self, instance: Instance, *, start: bool, checkpoint: Checkpoint) -> PowerState:
        folder, aside = self._folders(instance.uuid)
        if aside.exists and _is_of(aside, self._host):
            self._remove_guest(instance.uuid)
            folder.remove()
            aside.set_aside(folder)
        self._offers.withdraw(instance.uuid)
        if not (folder.exists and _is_of(folder, self._host)):
            raise DomainNotFound(instance=instance.uuid, host=self._host)
        return self._make_guest(instance, start=start, checkpoint=checkpoint)

    def forget_aside(self, instance: Instance) -> None:
        _, aside = self._folders(instance.uuid)
        self._offers.withdraw(instance.uuid)
        if aside.exists and _is_of(aside, self._host):
            aside.remove()

    def receive(
        self, instance: Instance, *, from_host: str, start: bool, checkpoint: Checkpoint
    ) -> PowerState:
        vifs.check_bound(instance.vifs)
        folder, _ = self._folders(instance.uuid)
        if folder.exists and not _is_of(folder, self._host):
            # A host that shares the folder has given up here, and will remove its guest.
            folder.remove()
        folder.create()
        folder.take(self._host)
        shipment = Shipment(self._offers, self._peers, instance.uuid, from_host)
        self._bring(instance, folder, shipment, checkpoint)
        self._guests.make_blank_disks(folder, instance)
        checkpoint()
        return self._make_guest(instance, start=start, checkpoint=checkpoint)

    # --- the old host ---

    def _switch_off(self, instance: Instance, grace_s: int, checkpoint: Checkpoint) -> None:
        domain = self._guests.find(instance.uuid)
        if domain is None:
            return
        with libvirt_speaks(instance.uuid, self._host):
            if not self._guests.ask_to_shut_down(domain, grace_s, checkpoint):
                power.cut(domain)
            tpm_states.keep(domain, self._guests.folder(instance.uuid).tpm_state)
            self._guests.undefine(domain, keep_state=True)

    def _offer(self, instance_uuid: str, aside: InstanceFolder) -> None:
        names = (*_FILES, *aside.ephemerals())
        files = tuple(name for name in names if (aside.path / name).exists())
        formats = dict.fromkeys(files, "raw")
        if disks.ROOT in formats:
            formats[disks.ROOT] = aside.root_format
        base = self._guests.images.find(aside.image_id) if aside.image_id else None
        if aside.image_id and base is None:
            reason = f"image {aside.image_id}, on which the root disk stands, is not on this host"
            raise HypervisorError(reason=reason)
        links = {name: Path("..", aside.path.name, name) for name in files}
        if base is not None:
            links[BASE] = self._guests.images.path(base)
        offer = Offer(
            host=self._host,
            files=files,
            sizes={name: virtual_size(aside.path / name, formats[name]) for name in files},
            base=base,
        )
        raw = [aside.path / name for name in files if formats[name] == "raw"]
        self._offers.make(instance_uuid, offer, links, written_by_guest=raw)

    # --- the new host ---

    def _bring(
        self,
        instance: Instance,
        folder: InstanceFolder,
        shipment: Shipment,
        checkpoint: Checkpoint,
    ) -> None:
        """Copy what is not here yet, each file under its name only when it is complete."""
        offer, flavor = shipment.offer, instance.flavor
        _check_size(offer, flavor)
        at_least = {disks.ROOT: flavor.root_gib * GIB, disks.EPHEMERAL: flavor.ephemeral_gib * GIB}
        for name in offer.files:
            target = folder.path / name
            if not (name in _FILES or disks.is_ephemeral(name)) or target.exists():
                continue
            if disks.is_ephemeral(name) and not flavor.ephemeral_gib:
                continue
            part = target.with_name(f"{name}.part")
            backing = None
            if name == disks.ROOT and offer.base is not None:
                backing = self._guests.base(instance, offer.base, shipment, checkpoint)
                folder.stands_on(offer.base.image_id)
            shipment.bring(name, part, checkpoint)
            if backing is not None:
                put_on(part, backing)
            if name in at_least:
                self._guests.grow(part, "raw" if backing is None else "qcow2", at_least[name])
            part.replace(target)

    # --- both ---

    def _make_guest(self, instance: Instance, *, start: bool, checkpoint: Checkpoint) -> PowerState:
        domain = self._guests.find(instance.uuid)
        tpm_state = self._guests.folder(instance.uuid).tpm_state
        with libvirt_speaks(instance.uuid, self._host):
            if domain is not None and not power.is_off(domain):
                tpm_state.unlink(missing_ok=True)
                return power.state_of(domain)
        domain = self._guests.define(instance, self._guests.hardware(instance))
        with libvirt_speaks(instance.uuid, self._host):
            tpm_states.give_back(domain, tpm_state)
        if start:
            self._guests.start(instance, domain, checkpoint)
        with libvirt_speaks(instance.uuid, self._host):
            return power.state_of(domain)

    def _remove_guest(self, instance_uuid: str) -> None:
        domain = self._guests.find(instance_uuid)
        if domain is not None:
            with libvirt_speaks(instance_uuid, self._host):
                power.cut(domain)
                self._guests.undefine(domain, keep_state=True)

    def _folders(self, instance_uuid: str) -> tuple[InstanceFolder, InstanceFolder]:
        return self._guests.folder(instance_uuid), self._guests.folder(instance_uuid, aside=True)


def _is_of(folder: InstanceFolder, host: str) -> bool:
    owner = folder.owner
    return owner is None or owner.host == host


def _check_size(offer: Offer, flavor: Flavor) -> None:
    """Raises: Invalid, when a disk would have to be made smaller."""
    for name, given_gib in ((disks.ROOT, flavor.root_gib), (disks.EPHEMERAL, flavor.ephemeral_gib)):
        has = offer.sizes.get(name, 0)
        if given_gib and has > given_gib * GIB:
            raise Invalid(
                "Resize error: Unable to resize disk down. It has "
                f"{-(-has // GIB)} GiB, the flavor gives {given_gib} GiB."
            )

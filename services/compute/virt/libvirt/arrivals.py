# SPDX-License-Identifier: Apache-2.0
"""Arrivals: guests that come from another host while they run.

This host looks at what the other one offers, makes room for it, and says where. When the guest has
come it is looked after; when it does not come, the room is given up.
"""

import logging
from pathlib import Path
from typing import Any

import libvirt

from common.errors import GuestHasArrived, HypervisorError, Invalid
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.states import PowerState
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import disks, power
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.disk_files import create_overlay
from services.compute.virt.libvirt.disks import InstanceFolder
from services.compute.virt.libvirt.domain_xml.spec import Backing
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.landings import Landing
from services.compute.virt.libvirt.offers import Offer, Offers
from services.compute.virt.libvirt.peers import Peers, Shipment

LOG = logging.getLogger(__name__)


class Arrivals:
    """The new host's part of a live move."""

    def __init__(self, guests: Guests, offers: Offers, peers: Peers) -> None:
        self._guests = guests
        self._offers = offers
        self._peers = peers
        self._host = guests.settings.host
        self._settings = guests.settings.migration

    def prepare(
        self,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint,
    ) -> LiveTarget:
        """Make room; where. Again: what is there is kept."""
        hardware = self._guests.hardware(instance)
        self._check_not_here(instance.uuid)
        shipment = Shipment(self._offers, self._peers, instance.uuid, from_host)
        offer, shares = shipment.offer, shipment.is_within_reach
        _check_kind(shares, block_migration, has_disks=bool(offer.sizes))
        with libvirt_speaks(instance.uuid, self._host):
            connection = self._guests.connection.get()
            check_cpu(connection, offer, self._guests.platform.virt_type, self._host)
        folder = self._guests.folder(instance.uuid)
        if not shares and self._guests.landings.get(instance.uuid) is None:
            folder.remove()  # whatever it is, nobody knows of it any more
        landing = self._guests.reserve(
            instance, hardware, lambda pins: Landing(from_host=from_host, shares_disks=shares,
                                                     pins=pins)
        )  # fmt: skip
        base = None
        if offer.base is not None:
            base = self._guests.base(instance, offer.base, shipment, checkpoint)
        if shares:
            _check_same_image(base, offer, self._host)
        else:
            self._make_room(folder, shipment, base, checkpoint)
        platform = self._guests.platform
        volumes = self._guests.connect_volumes(instance)
        return LiveTarget(
            shares_disks=shares,
            folder=str(folder.path),
            base_path=None if base is None else base.path,
            vnc_address=platform.vnc_listen,
            spice_address=platform.spice_listen,
            serial_address=platform.serial_listen,
            serial_port=self._guests.serial_port(instance.uuid),
            address=self._settings.address or None,
            pins=landing.pins,
            floating_cpus=tuple(sorted(platform.floating_cpus)),
            volume_paths=tuple((volume, source.path) for volume, source in volumes.items()),
        )

    def _check_not_here(self, instance_uuid: str) -> None:
        """Raises: HypervisorError. A definition without a move is not ours to throw away."""
        is_awaited = self._guests.landings.get(instance_uuid) is not None
        if not is_awaited and self._guests.find(instance_uuid) is not None:
            raise HypervisorError(reason=f"{self._host} has a guest of this instance already")

    def _make_room(
        self,
        folder: InstanceFolder,
        shipment: Shipment,
        base: Backing | None,
        checkpoint: Checkpoint,
    ) -> None:
        """Empty disks for libvirt to fill, and copies of what it does not copy."""
        folder.create()
        folder.take(self._host)
        offer = shipment.offer
        if offer.base is not None:
            folder.stands_on(offer.base.image_id)
        for name, size_bytes in offer.sizes.items():
            if disks.is_written(name):
                backing = base if name == disks.ROOT else None
                _make_empty(folder.path / name, size_bytes, backing)
        for name in offer.files:
            target = folder.path / name
            if name == disks.CONFIG_DRIVE and not target.exists():
                part = target.with_name(f"{name}.part")
                shipment.bring(name, part, checkpoint)
                part.replace(target)

    def discard(self, instance: Instance) -> None:
        """Give the room up. Again: fine. Raises: GuestHasArrived."""
        landing = self._guests.landings.get(instance.uuid)
        domain = self._guests.find(instance.uuid)
        with libvirt_speaks(instance.uuid, self._host):
            if domain is not None and power.is_arriving(domain):
                power.cut(domain)
                # One that is still known had just been told to stay: it may have run here.
                domain = self._guests.find(instance.uuid)
        if domain is not None:
            raise GuestHasArrived(instance=instance.uuid, host=self._host)
        self._guests.volumes.disconnect_all(instance.uuid)
        if landing is not None and not landing.shares_disks:
            self._guests.folder(instance.uuid).remove()
        self._guests.serial_ports.give_back(instance.uuid)
        self._guests.landings.remove(instance.uuid)

    def welcome(self, instance_uuid: str) -> PowerState:
        """The guest has come: its files are this host's. Again: they are.

        Raises: DomainNotFound.
        """
        folder = self._guests.folder(instance_uuid)
        with libvirt_speaks(instance_uuid, self._host):
            state = power.state_of(self._guests.domain(instance_uuid))
        if folder.exists:
            folder.take(self._host)
        self._guests.landings.remove(instance_uuid)
        return state

    def welcome_all(self) -> None:
        """Look after guests that have come while nobody could say so."""
        for uuid in self._guests.landings.instances():
            domain = self._guests.find(uuid)
            with libvirt_speaks(uuid, self._host):
                if domain is None or power.is_arriving(domain):
                    continue
            LOG.info("Guest %s has come alive while nobody was here to see", uuid)
            self.welcome(uuid)


def check_cpu(connection: Any, offer: Offer, virt_type: str, host: str) -> None:
    """Whether this host can give the guest the CPU that it has. Raises: Invalid, libvirtError."""
    if not offer.cpu:
        return
    flags = libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
    try:
        connection.compareHypervisorCPU(
            None, "x86_64", offer.machine or None, virt_type, offer.cpu, flags
        )
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            raise
        raise Invalid(f"{host} cannot give the guest the CPU that it has: {refused}") from refused


def _check_kind(shares: bool, block_migration: bool | None, *, has_disks: bool) -> None:
    if shares and block_migration:
        raise Invalid("Block migration can not be used with shared storage.")
    if not shares and has_disks and block_migration is False:
        raise Invalid(
            "The instance's disks are not on shared storage: without block migration only those "
            "guests can move alive that have no local disks."
        )


def _check_same_image(base: Backing | None, offer: Offer, host: str) -> None:
    """The shared disk says where its image is, and cannot be told another place while it is used.

    Raises: Invalid.
    """
    if base is not None and base.path != offer.base_path:
        raise Invalid(
            f"The hosts share the instance's folder, but have its image at different places: "
            f"{offer.base_path} there, {base.path} on {host}."
        )


def _make_empty(path: Path, size_bytes: int, backing: Backing | None) -> None:
    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    if backing is not None:
        create_overlay(part, backing, size_bytes)
    else:
        with part.open("wb") as file:
            file.truncate(size_bytes)
    part.replace(path)

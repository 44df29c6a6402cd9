# SPDX-License-Identifier: Apache-2.0
"""Departures: guests that go to another host while they run.

This host offers what the other one must see, and libvirt here sends the guest to libvirt there.
Nobody but libvirt knows for sure which of the two has the guest, so it is asked wherever a word may
have got lost.
"""

import logging
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import DomainNotFound, HypervisorError, KilonovaError, OperationCancelled
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from services.compute import vifs
from services.compute.virt.driver import Checkpoint, never_cancelled
from services.compute.virt.libvirt import disks, power, transit
from services.compute.virt.libvirt.connection import libvirt_speaks
from services.compute.virt.libvirt.domain_xml.arrival import Arrival, arrival_xml, copied_disks
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.offers import BASE, Offer, Offers
from services.compute.virt.libvirt.peers import Peers

LOG = logging.getLogger(__name__)

_LOOK_S = 0.2
_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
)
_XML = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


class Departures:
    """The old host's part of a live move."""

    def __init__(self, guests: Guests, offers: Offers, peers: Peers) -> None:
        self._guests = guests
        self._offers = offers
        self._peers = peers
        self._host = guests.settings.host
        self._settings = guests.settings.migration
        self._hurried: set[str] = set()

    def offer(self, instance: Instance) -> None:
        """Say what there is of the guest. Again: anew."""
        self._hurried.discard(instance.uuid)
        folder = self._guests.folder(instance.uuid)
        with libvirt_speaks(instance.uuid, self._host):
            domain = self._guests.domain(instance.uuid)
            if power.is_off(domain):
                raise HypervisorError(
                    reason="the guest does not run; it can be moved as it is, off"
                )
            definition = ET.fromstring(domain.XMLDesc())
            sizes = {
                name: int(domain.blockInfo(str(folder.path / name))[0]) for name in folder.written()
            }
        base = self._guests.images.find(folder.image_id) if folder.image_id else None
        links = {}
        if folder.config_drive.exists():
            links[disks.CONFIG_DRIVE] = Path("..", folder.path.name, disks.CONFIG_DRIVE)
        if base is not None:
            links[BASE] = self._guests.images.path(base)
        offer = Offer(
            host=self._host,
            files=tuple(name for name in links if name != BASE),
            sizes=sizes,
            base=base,
            base_path=str(links.get(BASE, "")),
            cpu=_cpu(definition),
            machine=definition.find("os/type").get("machine", ""),  # type: ignore[union-attr]
        )
        self._offers.make(instance.uuid, offer, links)

    def migrate(
        self, instance: Instance, *, to_host: str, target: LiveTarget, checkpoint: Checkpoint
    ) -> None:
        """Send the guest, and remove what is not shared. Again: one that has gone is gone."""
        try:
            self._wait_for_job(instance.uuid, checkpoint)
            checkpoint()
            if not self._has_gone(instance.uuid, to_host):
                self._send(instance, to_host, target, checkpoint)
        except (HypervisorError, OperationCancelled) as failed:
            # libvirt may have succeeded all the same: only its answer was lost.
            if not self._went_all_the_same(instance.uuid, to_host):
                raise
            LOG.warning("The guest runs on %s, though it was said: %s", to_host, failed)
        finally:
            self._hurried.discard(instance.uuid)
        self._offers.withdraw(instance.uuid)
        self._guests.volumes.disconnect_all(instance.uuid)
        folder = self._guests.folder(instance.uuid)
        self._guests.serial_ports.give_back(instance.uuid)
        if not target.shares_disks:
            folder.remove()

    def progress(self, instance_uuid: str) -> MigrationProgress:
        """How far it is."""
        domain = self._guests.find(instance_uuid)
        if domain is None:
            return MigrationProgress()
        with libvirt_speaks(instance_uuid, self._host):
            return transit.progress(domain)

    def complete(self, instance_uuid: str) -> None:
        """Have it end soon. Again: it will."""
        self._hurried.add(instance_uuid)
        domain = self._guests.find(instance_uuid)
        if domain is not None:
            transit.hurry(domain, self._settings)

    def _send(
        self, instance: Instance, to_host: str, target: LiveTarget, checkpoint: Checkpoint
    ) -> None:
        uri, flags = self._peers.uri(to_host), self._flags(target)
        with libvirt_speaks(instance.uuid, self._host):
            domain = self._guests.domain(instance.uuid)
            parameters = self._parameters(domain, instance.uuid, target)
            moved_bytes = self._moved_bytes(domain, instance.uuid, target)
        if libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS in parameters:
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC

        def send() -> None:
            transit.Transit(
                domain,
                lambda: domain.migrateToURI3(uri, parameters, flags),
                self._settings,
                moved_bytes=moved_bytes,
                is_hurried=lambda: instance.uuid in self._hurried,
            ).run(checkpoint)

        # The new host's network service may still be making a bridge.
        vifs.start_when_plugged(
            send, instance.vifs, wait_s=self._guests.settings.bridge_wait_s,
            checkpoint=checkpoint, where=to_host,
        )  # fmt: skip

    def _flags(self, target: LiveTarget) -> int:
        flags: int = _FLAGS
        wanted = (
            (libvirt.VIR_MIGRATE_TLS, self._settings.tls),
            (libvirt.VIR_MIGRATE_AUTO_CONVERGE, self._settings.auto_converge),
            (libvirt.VIR_MIGRATE_POSTCOPY, self._settings.post_copy),
            # Both hosts have seen the same file, or have the volume from the volume service,
            # whatever libvirt thinks of the file system.
            (libvirt.VIR_MIGRATE_UNSAFE, target.shares_disks or bool(target.volume_paths)),
        )
        for flag, is_wanted in wanted:
            flags |= flag if is_wanted else 0
        return flags

    def _parameters(self, domain: Any, instance_uuid: str, target: LiveTarget) -> dict[str, Any]:
        folder = self._guests.folder(instance_uuid)
        base = self._guests.image(folder.image_id) if folder.image_id else None
        volumes = self._guests.volumes.sources(instance_uuid)
        there = {
            volumes[volume].path: path for volume, path in target.volume_paths if volume in volumes
        }
        if base and target.base_path:
            there[base.path] = target.base_path
        screens = {"vnc": target.vnc_address, "spice": target.spice_address}
        serial = None
        if target.serial_address is not None and target.serial_port is not None:
            serial = (target.serial_address, target.serial_port)
        arrival = Arrival(
            folder=(str(folder.path), target.folder),
            files=there,
            screens={kind: address for kind, address in screens.items() if address},
            serial=serial,
            pins=dict(target.pins),
            floating=target.floating_cpus,
        )
        running = domain.XMLDesc(_XML)
        at_next_start = domain.XMLDesc(_XML | libvirt.VIR_DOMAIN_XML_INACTIVE)
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: arrival_xml(running, arrival),
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: arrival_xml(at_next_start, arrival),
        }
        copied = [] if target.shares_disks else copied_disks(running, str(folder.path))
        if copied:
            parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = copied
        if target.address:
            parameters[libvirt.VIR_MIGRATE_PARAM_URI] = f"tcp://{target.address}"
        if self._settings.bandwidth_mib_s:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = self._settings.bandwidth_mib_s
        return parameters

    def _moved_bytes(self, domain: Any, instance_uuid: str, target: LiveTarget) -> int:
        moved = int(domain.maxMemory()) << 10
        if not target.shares_disks:
            folder = self._guests.folder(instance_uuid)
            for name in copied_disks(domain.XMLDesc(_XML), str(folder.path)):
                moved += int(domain.blockInfo(name)[1])
        return moved

    def _wait_for_job(self, instance_uuid: str, checkpoint: Checkpoint) -> None:
        """Wait for a migration that a daemon before this one has begun; end it when cancelled."""
        while True:
            domain = self._guests.find(instance_uuid)
            with libvirt_speaks(instance_uuid, self._host):
                if domain is None or not transit.is_under_way(domain):
                    return
            try:
                checkpoint()
            except OperationCancelled:
                transit.abort(domain)
            time.sleep(_LOOK_S)

    def _has_gone(self, instance_uuid: str, to_host: str) -> bool:
        """Whether the guest lives on the other host, as libvirt there says.

        Raises: DomainNotFound, when it lives on neither; HypervisorError, when it cannot be told.
        """
        domain = self._guests.find(instance_uuid)
        try:
            with libvirt_speaks(instance_uuid, self._host):
                if domain is not None and not power.is_off(domain):
                    return False
        except DomainNotFound:
            domain = None  # it went between the two looks
        with self._peers.of(to_host) as peer:
            if peer.runs(instance_uuid):
                return True
        if domain is not None:
            raise HypervisorError(reason="the guest does not run any more")
        raise DomainNotFound(instance=instance_uuid, host=self._host)

    def _went_all_the_same(self, instance_uuid: str, to_host: str) -> bool:
        try:
            self._wait_for_job(instance_uuid, never_cancelled)
            return self._has_gone(instance_uuid, to_host)
        except KilonovaError as unknown:
            LOG.warning("Whether the guest runs on %s cannot be told: %s", to_host, unknown)
            return False


def _cpu(definition: ET.Element) -> str:
    """The guest's CPU as another host can compare it; empty where only the guest knows."""
    cpu = definition.find("cpu")
    if cpu is None or cpu.get("mode") != "custom":
        return ""
    return ET.tostring(cpu, encoding="unicode")

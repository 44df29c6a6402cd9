# SPDX-License-Identifier: Apache-2.0
"""kilonova-conductor: wiring."""

import logging
import random
import secrets
import sys
import threading
from pathlib import Path

from oslo_config import cfg

from common import config, daemon, memory
from common.clients.image import ImageClient
from common.clients.network import NetworkClient
from common.clients.session import ServiceSession
from common.clients.share import ShareClient
from common.clients.volume import VolumeClient
from common.clock import SystemClock
from common.context import RequestContext, service_context
from common.errors import Unavailable
from common.ids import new_token, new_uuid
from common.objects.operation import Operation
from common.observability import log
from common.presence import ControlEndpoint
from common.rpc.compute import Compute
from common.rpc.conductor import TOPIC
from common.rpc.conductor.hosts import Hosts
from common.rpc.control import Control
from common.rpc.interface import Address
from common.rpc.scheduler import Scheduler
from common.rpc.transport import Bus
from services.conductor.accept.admission import Admission
from services.conductor.accept.arrivals import AcceptArrivals
from services.conductor.accept.create import Create
from services.conductor.accept.delete import AcceptDelete
from services.conductor.accept.external_events import AcceptExternalEvents
from services.conductor.accept.guest import AcceptGuest
from services.conductor.accept.interfaces import AcceptInterfaces
from services.conductor.accept.moves import AcceptMoves
from services.conductor.accept.plugs import AcceptPlugs
from services.conductor.accept.power import AcceptPower
from services.conductor.accept.repair import AcceptRepair
from services.conductor.accept.revival import AcceptRevival
from services.conductor.accept.shares import AcceptShares
from services.conductor.accept.shelving import AcceptShelving
from services.conductor.accept.snapshots import AcceptSnapshots
from services.conductor.accept.state import AcceptState
from services.conductor.accept.volumes import AcceptVolumes
from services.conductor.choosing import Choosing
from services.conductor.chores import Chores
from services.conductor.computes import Computes
from services.conductor.db import journal, revisions, services
from services.conductor.db.engine import Database
from services.conductor.db.journal import Lease
from services.conductor.deltas import Deltas
from services.conductor.endpoint.aggregates import AggregatesEndpoint
from services.conductor.endpoint.catalog import CatalogEndpoint
from services.conductor.endpoint.consoles import ConsolesEndpoint
from services.conductor.endpoint.external_events import ExternalEventsEndpoint
from services.conductor.endpoint.guest import GuestEndpoint
from services.conductor.endpoint.host_power import HostPowerEndpoint
from services.conductor.endpoint.hosts import HostsEndpoint
from services.conductor.endpoint.idempotency import IdempotencyEndpoint
from services.conductor.endpoint.interfaces import InterfacesEndpoint
from services.conductor.endpoint.metadata import MetadataEndpoint
from services.conductor.endpoint.moves import MovesEndpoint
from services.conductor.endpoint.power import PowerEndpoint
from services.conductor.endpoint.quotas import QuotasEndpoint
from services.conductor.endpoint.repair import RepairEndpoint
from services.conductor.endpoint.reports import ReportsEndpoint
from services.conductor.endpoint.server_groups import ServerGroupsEndpoint
from services.conductor.endpoint.servers import ServersEndpoint
from services.conductor.endpoint.shares import SharesEndpoint
from services.conductor.endpoint.shelving import ShelvingEndpoint
from services.conductor.endpoint.snapshots import SnapshotsEndpoint
from services.conductor.endpoint.state import StateEndpoint
from services.conductor.endpoint.tasks import TasksEndpoint
from services.conductor.endpoint.usage import UsageEndpoint
from services.conductor.endpoint.volumes import VolumesEndpoint
from services.conductor.hearing import Hearing
from services.conductor.heartbeats import Heartbeats
from services.conductor.journal.crashpoints import CrashPoints
from services.conductor.journal.engine import Engine
from services.conductor.journal.runner import Runner
from services.conductor.journal.stepper import Patience, Stepper
from services.conductor.quota import Quota
from services.conductor.sweep import Sweep
from services.conductor.tasks.adopt import Adopt
from services.conductor.tasks.assisted_snapshots import MergeVolumeSnapshot, SnapshotVolume
from services.conductor.tasks.boot import Boot
from services.conductor.tasks.delete import Delete
from services.conductor.tasks.evacuate import Evacuate
from services.conductor.tasks.ground import Ground, Limits
from services.conductor.tasks.guest import ChangePassword, TriggerCrashDump
from services.conductor.tasks.interfaces import AttachInterface, DetachInterface
from services.conductor.tasks.live_migrate import LiveMigrate
from services.conductor.tasks.move import ConfirmResize, Migrate, Resize, RevertResize
from services.conductor.tasks.power import (
    Pause,
    Reboot,
    Resume,
    Revive,
    Start,
    Stop,
    Suspend,
    Unpause,
)
from services.conductor.tasks.rebuild import Rebuild
from services.conductor.tasks.rescue import Rescue, Unrescue
from services.conductor.tasks.shares import AttachShare, DetachShare
from services.conductor.tasks.shelve import Shelve, ShelveOffload
from services.conductor.tasks.snapshot import Snapshot
from services.conductor.tasks.soft_delete import Restore, SoftDelete
from services.conductor.tasks.unshelve import Unshelve, UnshelveInPlace
from services.conductor.tasks.volumes import AttachVolume, DetachVolume, ExtendVolume, SwapVolume
from services.conductor.warming import Warming

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-conductor"
_BINARY = "nova-conductor"  # the name that clients know
_MISSED_HEARTBEATS = 3  # of all conductors: then nobody hears anybody
FLOWS = (
    Boot, Delete, SoftDelete, Restore,
    Start, Stop, Reboot, Pause, Unpause, Suspend, Resume, Revive,
    AttachInterface, DetachInterface,
    AttachVolume, DetachVolume, SwapVolume, ExtendVolume, SnapshotVolume, MergeVolumeSnapshot,
    AttachShare, DetachShare,
    ChangePassword, TriggerCrashDump, Rescue, Unrescue, Rebuild,
    Snapshot, Shelve, ShelveOffload, Unshelve, UnshelveInPlace,
    Resize, Migrate, ConfirmResize, RevertResize, LiveMigrate, Adopt, Evacuate,
)  # fmt: skip
_GROUPS = ("conductor", "consoleauth", "database", "quota", "service_user", "share")


class SchemaMismatch(Exception):
    """The database's schema is not the one of this release."""


class Messenger:
    """Operations on their way to hosts, over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def send(self, operation: Operation) -> None:
        """Cast it to the queue of the host's daemon. Raises: Unavailable."""
        address = Address(
            Compute.topic, Compute.namespace, Compute.version, operation.method,
            operation.rpc_server,
        )  # fmt: skip
        self._bus.cast(address, operation.context, operation.payload, fanout=False)

    def cancel(self, ctx: RequestContext, operation: Operation) -> None:
        """Have the host give it up. Raises: Unavailable."""
        Compute.client(self._bus, operation.rpc_server).cancel(ctx, operation.id, operation.host)


class ConductorDaemon:
    """A conductor's life, for `common.daemon.run`."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        options = conf.conductor
        self._host = conf.host
        self._heartbeat_interval_s = conf.heartbeat_interval_s
        clock, rng = SystemClock(), random.Random()
        self._database = database_of(conf)
        self._bus = Bus(conf)
        owner = f"{conf.host}#{secrets.token_hex(4)}"
        self._deltas = Deltas(
            self._database, Scheduler.client(self._bus), publisher=owner,
            down_after_s=options.host_down_after_s,
        )  # fmt: skip
        self._heartbeats = Heartbeats(self._database)
        lease = Lease(owner, options.lease_s, options.resend_after_s)
        session = ServiceSession(conf)
        ground = Ground(
            scheduler=Choosing(self._database, Scheduler.client(self._bus)),
            ports=NetworkClient(session),
            images=ImageClient(session),
            volumes=VolumeClient(session),
            shares=ShareClient(session, conf.share.access_timeout_s),
            hosts_changed=self._deltas.changed,
            limits=limits(conf),
            clock=clock,
            new_uuid=new_uuid,
        )
        flows = {f.name: f(ground) for f in FLOWS}
        self._runner = Runner(self._database, lease, threads=options.workers)
        self._engine = Engine(
            self._database,
            Stepper(flows, clock=clock, rng=rng, patience=patience(conf)),
            Messenger(self._bus),
            lease,
            CrashPoints(
                options.crash_points.split(","), Path(conf.state_path) / "crash_points_hit"
            ),
            go_on=self._runner.put,
        )
        self._hearing = Hearing(
            self._database, deaf_after_s=_MISSED_HEARTBEATS * conf.heartbeat_interval_s
        )
        self._sweep = Sweep(
            self._database,
            self._engine,
            self._runner,
            lease,
            hearing=self._hearing,
            publish_transitions=self._deltas.publish_transitions,
            interval_s=options.sweep_interval_s,
            down_after_s=options.host_down_after_s,
            former_owner=f"{conf.host}#",
            rng=rng,
        )
        quota = Quota(dict(conf.quota))
        create = Create(self._database, self._engine, quota, clock=clock, new_uuid=new_uuid)
        admission = Admission(
            self._database, self._engine, self._runner,
            clock=clock, new_uuid=new_uuid, down_after_s=options.host_down_after_s,
        )  # fmt: skip
        interfaces = AcceptInterfaces(admission, ground.ports)
        volumes = AcceptVolumes(
            admission, new_uuid=new_uuid, down_after_s=options.host_down_after_s,
            most_disks=options.max_disk_devices_to_attach,
        )  # fmt: skip
        delete = AcceptDelete(admission, quota, reclaim_after_s=options.reclaim_instance_interval_s)
        idempotency = IdempotencyEndpoint(self._database)
        shelving = AcceptShelving(
            admission,
            offload_after_s=options.shelved_offload_time_s,
            down_after_s=options.host_down_after_s,
        )
        moves = AcceptMoves(
            admission, quota, ground.scheduler,
            clock=clock, new_uuid=new_uuid, down_after_s=options.host_down_after_s,
            same_host=options.allow_resize_to_same_host,
            confirm_after_s=options.resize_confirm_window_s,
        )  # fmt: skip
        computes = Computes(
            lambda server: Compute.client(self._bus, server),
            down_after_s=options.host_down_after_s,
        )
        consoles = ConsolesEndpoint(
            self._database, computes,
            ttl_s=conf.consoleauth.token_ttl, down_after_s=options.host_down_after_s,
            new_token=new_token,
        )  # fmt: skip
        self._chores = Chores(
            [
                delete.reclaim,
                shelving.offload_due,
                moves.confirm_due,
                moves.complete_evacuations,
                idempotency.purge,
                consoles.purge,
            ],
            interval_s=options.chores_interval_s,
            rng=random.Random(),
        )
        events = AcceptExternalEvents(
            self._database,
            {
                "network-changed": interfaces.port_changed,
                "network-vif-deleted": interfaces.port_deleted,
                "network-vif-plugged": AcceptPlugs(self._engine.signal).port_plugged,
                "volume-extended": volumes.volume_extended,
            },
            later=self._runner.do,
            down_after_s=options.host_down_after_s,
        )
        servers = ServersEndpoint(
            self._database, create, delete, quota,
            computes=computes,
            events_of=journal.events_of,
            down_after_s=options.host_down_after_s,
        )  # fmt: skip
        self._metadata = MetadataEndpoint(self._database)
        hosts = HostsEndpoint(
            self._database, self._deltas, self._heartbeats,
            control_of=lambda server: Control.client(self._bus, server),
            down_after_s=options.host_down_after_s, new_uuid=new_uuid, clock=clock,
        )  # fmt: skip
        endpoints = [
            servers,
            PowerEndpoint(AcceptPower(admission)),
            GuestEndpoint(AcceptGuest(admission), admission, computes, clock),
            StateEndpoint(AcceptState(admission)),
            InterfacesEndpoint(interfaces),
            VolumesEndpoint(volumes),
            SharesEndpoint(AcceptShares(admission, new_uuid=new_uuid)),
            ExternalEventsEndpoint(events),
            ShelvingEndpoint(shelving),
            MovesEndpoint(
                self._database, moves,
                computes=computes, down_after_s=options.host_down_after_s,
            ),
            SnapshotsEndpoint(AcceptSnapshots(admission, quota), admission, computes),
            RepairEndpoint(AcceptRepair(admission, quota, ground.volumes), servers),
            CatalogEndpoint(self._database, quota),
            hosts,
            HostPowerEndpoint(
                self._database, computes, hosts, down_after_s=options.host_down_after_s
            ),
            AggregatesEndpoint(
                self._database, self._deltas,
                Warming(self._database, computes, later=self._runner.do), new_uuid=new_uuid,
            ),
            ServerGroupsEndpoint(self._database, quota),
            consoles,
            self._metadata,
            QuotasEndpoint(self._database, quota),
            UsageEndpoint(self._database),
            ReportsEndpoint(
                self._database,
                self._engine,
                AcceptRevival(self._database, self._engine, clock=clock, new_uuid=new_uuid),
                AcceptArrivals(admission, down_after_s=options.host_down_after_s),
            ),
            TasksEndpoint(self._database),
            idempotency,
        ]  # fmt: skip
        control = ControlEndpoint(_BINARY, conf.host, self.health)
        self._servers = [
            self._bus.serve(TOPIC, conf.host, endpoints, threads=options.rpc_threads),
            self._bus.serve(Control.topic, f"{_BINARY}.{conf.host}", [control], threads=2),
        ]
        self._stopping = threading.Event()
        self._presence = threading.Thread(target=self._beat, name="presence", daemon=True)

    def start(self) -> None:
        """Check the schema, then answer, then go on with what is unfinished.

        Raises: SchemaMismatch, Unavailable.
        """
        self._check_schema()
        self._hearing.begin()
        self._register()
        # The first look-up takes several times as long, and a crowd of guests may wait for it.
        self._metadata.find(service_context(), [], [])
        self._deltas.start()
        self._heartbeats.start()
        self._runner.start(self._engine.run)
        for server in self._servers:
            server.start()
        self._sweep.start()
        self._chores.start()
        self._presence.start()

    def stop(self) -> None:
        """Answer nobody any more, finish steps under way, leave the rest to other conductors."""
        self._stopping.set()
        self._presence.join()
        self._chores.stop()
        self._sweep.stop()
        for server in self._servers:
            server.stop()
        self._runner.stop()
        self._heartbeats.stop()
        self._deltas.stop()
        self._bus.close()
        self._database.close()

    def health(self) -> dict[str, str]:
        """The database must answer, and heartbeats of conductors must come over the bus."""
        try:
            self._database.check()
        except Unavailable as away:
            return {"database": str(away)}
        if self._hearing.is_deaf:
            return {"broker": "no heartbeat arrives, not even a conductor's own"}
        return {}

    def _check_schema(self) -> None:
        with self._database.begin() as conn:
            current = revisions.current(conn)
        if current != revisions.head():
            raise SchemaMismatch(
                f"The database has revision {current or 'none'} of the schema, this release needs "
                f"{revisions.head()}: run `kilonova db upgrade`."
            )

    def _register(self) -> None:
        with self._database.begin() as conn:
            services.register(
                conn, [(_BINARY, self._host, self._host, daemon.RELEASE)], new_uuid=new_uuid
            )

    def _beat(self) -> None:
        hosts = Hosts.client(self._bus)
        while not self._stopping.wait(self._heartbeat_interval_s):
            try:
                hosts.heartbeat(service_context(), _BINARY, [self._host])
            except Unavailable as away:
                LOG.warning("No sign of life was sent: %s", away)
            memory.give_back()


def database_of(conf: cfg.ConfigOpts) -> Database:
    """The database that `[database]` names."""
    options = conf.database
    return Database(
        options.connection,
        pool_size=options.pool_size,
        connect_timeout_s=options.connect_timeout_s,
        statement_timeout_s=options.statement_timeout_s,
    )


def limits(conf: cfg.ConfigOpts) -> Limits:
    """Times and counts of flows, from `[conductor]`."""
    options = conf.conductor
    return Limits(
        build_timeout_s=options.build_timeout_s,
        operation_timeout_s=options.operation_timeout_s,
        snapshot_timeout_s=options.snapshot_timeout_s,
        live_migration_timeout_s=options.live_migration_timeout_s,
        power_off_grace_s=options.power_off_grace_s,
        build_attempts=options.build_attempts,
        down_after_s=options.host_down_after_s,
        plugging_timeout_s=options.vif_plugging_timeout,
        plugging_is_fatal=options.vif_plugging_is_fatal,
    )


def patience(conf: cfg.ConfigOpts) -> Patience:
    """How long neighbours are waited for, from `[conductor]`."""
    wait_s = conf.conductor.neighbour_patience_s
    return Patience(
        forward_s=wait_s, undo_s=wait_s, not_ready_s=conf.conductor.volume_ready_timeout_s
    )


def main() -> int:
    """The console script."""
    conf = config.load(_PROGRAM, sys.argv[1:], _GROUPS)
    log.setup(conf, _PROGRAM)
    health = (conf.conductor.health_host, conf.conductor.health_port)
    return daemon.run(_PROGRAM, ConductorDaemon(conf), health_address=health if health[1] else None)


if __name__ == "__main__":
    sys.exit(main())

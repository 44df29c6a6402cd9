# SPDX-License-Identifier: Apache-2.0
"""The `hosts` interface: services, compute nodes, zones, and how every daemon is."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common.clock import Clock, iso_seconds
from common.context import RequestContext
from common.errors import Conflict, Invalid, KilonovaError
from common.ids import NewUuid
from common.objects.aggregate import Aggregate, ZoneService, ZoneView
from common.objects.compute_node import ComputeNode, HostBaseline, HostReport
from common.objects.daemon_status import DaemonHealth
from common.objects.service import Service
from common.rpc.conductor.hosts import Hosts
from common.rpc.control import Control
from services.conductor.db import aggregates, compute_nodes, instances, journal, services
from services.conductor.db.engine import Database
from services.conductor.db.services import COMPUTE
from services.conductor.deltas import Deltas
from services.conductor.heartbeats import Heartbeats

_PARALLEL_QUESTIONS = 16


class HostsEndpoint(Hosts):
    """What changes a host is told to the scheduler after the commit.

    `control_of` makes the client of a daemon's Control from its queue, `<binary>.<host>`.
    """

    def __init__(
        self,
        database: Database,
        deltas: Deltas,
        heartbeats: Heartbeats,
        *,
        control_of: Callable[[str], Control],
        down_after_s: float,
        new_uuid: NewUuid,
        clock: Clock,
    ) -> None:
        self._database = database
        self._deltas = deltas
        self._heartbeats = heartbeats
        self._control_of = control_of
        self._down_after_s = down_after_s
        self._new_uuid = new_uuid
        self._clock = clock

    # --- what daemons say of themselves ---

    def greet(self, ctx: RequestContext) -> None:
        """There is a conductor."""

    def report(self, ctx: RequestContext, reports: list[HostReport]) -> None:
        """Make or refresh services and compute nodes. Again: the same."""
        if not reports:
            return
        rows = [(COMPUTE, report.host, report.rpc_server, "") for report in reports]
        with self._database.begin() as conn:
            known = services.register(conn, rows, new_uuid=self._new_uuid)
            ids = {host: number for (_, host), number in known.items()}
            compute_nodes.put(conn, reports, ids)
        self._deltas.changed(report.uuid for report in reports)

    def register(
        self, ctx: RequestContext, *, binary: str, host: str, rpc_server: str, release: str
    ) -> None:
        """Make or refresh a service."""
        with self._database.begin() as conn:
            services.register(conn, [(binary, host, rpc_server, release)], new_uuid=self._new_uuid)

    def heartbeat(self, ctx: RequestContext, binary: str, hosts: list[str]) -> None:
        """Note it; a statement a second writes it."""
        self._heartbeats.heard(binary, hosts)

    def baseline(self, ctx: RequestContext) -> HostBaseline:
        """Every compute node."""
        return self._deltas.baseline()

    def io_ops(self, ctx: RequestContext) -> dict[str, int]:
        """What tasks wait for hosts to do."""
        with self._database.read() as conn:
            return journal.under_way(conn)

    def image_counts(
        self, ctx: RequestContext, properties: list[str]
    ) -> dict[str, dict[str, dict[str, int]]]:
        """Counted from the instances."""
        with self._database.read() as conn:
            return instances.image_counts(conn, properties)

    # --- services ---

    def services(
        self, ctx: RequestContext, *, host: str | None = None, binary: str | None = None
    ) -> list[Service]:
        """Services in order of their id."""
        with self._database.read() as conn:
            return services.list_services(
                conn, host=host, binary=binary, down_after_s=self._down_after_s
            )

    def update_service(
        self,
        ctx: RequestContext,
        *,
        uuid: str | None = None,
        host: str | None = None,
        binary: str | None = None,
        disabled: bool | None = None,
        disabled_reason: str | None = None,
        forced_down: bool | None = None,
    ) -> Service:
        """Enable, disable, force down or release a service.

        Raises: ServiceNotFound, HostNotFound, Invalid (named by uuid and no compute service).
        """
        changes: dict[str, Any] = {}
        if disabled is not None:
            changes |= {"disabled": disabled, "disabled_reason": None}
        if disabled_reason is not None and disabled is not False:
            changes["disabled_reason"] = disabled_reason
        if forced_down is not None:
            changes["forced_down"] = forced_down
        named = {"uuid": uuid, "host": host, "binary": binary}
        with self._database.begin() as conn:
            found = services.get(conn, down_after_s=self._down_after_s, **named)
            if uuid is not None and found.binary != COMPUTE:
                raise Invalid(
                    f"Updating a {found.binary} service is not supported. "
                    "Only nova-compute services can be updated."
                )
            services.change(conn, found.id, **changes)
            touched = compute_nodes.touch(conn, [found.host]) if found.binary == COMPUTE else []
            after = services.get(conn, down_after_s=self._down_after_s, **named)
        self._deltas.decided(touched)
        return after

    def delete_service(self, ctx: RequestContext, service: str) -> None:
        """Remove a service that no instance needs."""
        with self._database.begin() as conn:
            found = services.with_id(conn, service, down_after_s=self._down_after_s)
            nodes: Sequence[ComputeNode] = ()
            if found.binary == COMPUTE:
                # Touched before counting: a claim under way waits, and finds no host afterwards.
                uuids = compute_nodes.touch(conn, [found.host])
                if instances.count_on(conn, found.host):
                    raise Conflict(
                        f"The compute service on {found.host} hosts instances. "
                        "Move or delete them first."
                    )
                nodes = compute_nodes.some(conn, uuids, down_after_s=self._down_after_s)
            services.remove(conn, found.id)
        self._deltas.removed(nodes)

    # --- compute nodes, zones, aggregates ---

    def compute_nodes(
        self,
        ctx: RequestContext,
        *,
        hostname_pattern: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ComputeNode]:
        """Compute nodes by id."""
        with self._database.read() as conn:
            return compute_nodes.list_nodes(
                conn,
                down_after_s=self._down_after_s,
                hostname_pattern=hostname_pattern,
                limit=limit,
                marker=marker,
            )

    def compute_node(self, ctx: RequestContext, node: str) -> ComputeNode:
        """One compute node."""
        with self._database.read() as conn:
            return compute_nodes.get(conn, node, down_after_s=self._down_after_s)

    def instances_on(self, ctx: RequestContext, hosts: list[str]) -> dict[str, list[list[str]]]:
        """Uuid and name of the instances of each host."""
        with self._database.read() as conn:
            return instances.names_on(conn, hosts)

    def host_uptime(self, ctx: RequestContext, node: str) -> str | None:
        """The uptime text of the last report."""
        return self.compute_node(ctx, node).report.uptime

    def zones(self, ctx: RequestContext) -> list[ZoneView]:
        """Zones by name; one is available while one of its services takes work."""
        members: dict[str, list[Service]] = defaultdict(list)
        for service in self.services(ctx):
            members[service.availability_zone or aggregates.DEFAULT_ZONE].append(service)
        return [_zone(name, members[name]) for name in sorted(members)]

    def aggregates(self, ctx: RequestContext) -> list[Aggregate]:
        """Every aggregate."""
        with self._database.read() as conn:
            return aggregates.list_aggregates(conn)

    # --- how every daemon is ---

    def health(self, ctx: RequestContext) -> list[DaemonHealth]:
        """Ask every daemon that gives signs of life, all at once.

        Several fake hosts of one daemon are one answer. A daemon that was silent too long is not
        asked: calls without an answer are what tells the bus that its connection is broken.
        """
        with self._database.read() as conn:
            registered = services.list_daemons(conn, down_after_s=self._down_after_s)
        daemons = {
            (service.binary, service.rpc_server or service.host): service
            for service in sorted(registered, key=lambda s: (s.is_up, -s.id))
        }
        if not daemons:
            return []
        with ThreadPoolExecutor(min(_PARALLEL_QUESTIONS, len(daemons)), "health") as pool:
            asked = [daemons[name] for name in sorted(daemons)]
            return list(pool.map(lambda service: self._ask(ctx, service), asked))

    def _ask(self, ctx: RequestContext, service: Service) -> DaemonHealth:
        binary, host = service.binary, service.rpc_server or service.host
        if not service.is_up and not service.forced_down:
            seen = iso_seconds(service.last_seen_at) if service.last_seen_at else "ever"
            return DaemonHealth(binary=binary, host=host, error=f"Not heard from since {seen}")
        began = self._clock.monotonic()
        try:
            status = self._control_of(f"{binary}.{host}").status(ctx)
        except KilonovaError as silent:
            return DaemonHealth(binary=binary, host=host, error=str(silent))
        latency_ms = round((self._clock.monotonic() - began) * 1000, 2)
        return DaemonHealth(binary=binary, host=host, latency_ms=latency_ms, status=status)


def _zone(name: str, members: list[Service]) -> ZoneView:
    hosts: dict[str, dict[str, ZoneService]] = defaultdict(dict)
    for service in members:
        hosts[service.host][service.binary] = ZoneService(
            available=service.is_up,
            active=not service.disabled,
            updated_at=service.last_seen_at,
        )
    available = any(not service.disabled for service in members)
    return ZoneView(name=name, available=available, hosts=dict(hosts))

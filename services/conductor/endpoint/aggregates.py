# SPDX-License-Identifier: Apache-2.0
"""The `aggregates` interface: host aggregates, and the zones that they make."""

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import Conflict, HostNotFound, Invalid
from common.ids import NewUuid
from common.objects.aggregate import Aggregate
from common.rpc.conductor.aggregates import Aggregates
from services.conductor.db import aggregates, compute_nodes, instances
from services.conductor.db.engine import Database
from services.conductor.deltas import Deltas
from services.conductor.warming import Warming


class AggregatesEndpoint(Aggregates):
    """Each change locks the aggregate, then its hosts (by touching them), and looks only then:
    a claim under way on a host waits, or is seen. Schedulers are told after the commit."""

    def __init__(
        self, database: Database, deltas: Deltas, warming: Warming, *, new_uuid: NewUuid
    ) -> None:
        self._database = database
        self._deltas = deltas
        self._warming = warming
        self._new_uuid = new_uuid

    def all_of_them(self, ctx: RequestContext) -> list[Aggregate]:
        """Every aggregate."""
        with self._database.read() as conn:
            return aggregates.list_aggregates(conn)

    def show(self, ctx: RequestContext, aggregate_id: int) -> Aggregate:
        """One aggregate."""
        with self._database.read() as conn:
            return aggregates.get(conn, aggregate_id)

    def create(self, ctx: RequestContext, *, name: str, zone: str | None = None) -> Aggregate:
        """Make an aggregate. Again: its name exists."""
        metadata = {aggregates.ZONE_KEY: zone} if zone else {}
        with self._database.begin() as conn:
            return aggregates.add(conn, uuid=self._new_uuid(), name=name, metadata=metadata)

    def rename(self, ctx: RequestContext, aggregate_id: int, name: str) -> Aggregate:
        """Give it another name. Again: the same."""
        with self._database.begin() as conn:
            aggregates.lock(conn, aggregate_id)
            aggregates.rename(conn, aggregate_id, name)
            return aggregates.get(conn, aggregate_id)

    def set_metadata(
        self, ctx: RequestContext, aggregate_id: int, metadata: dict[str, str | None]
    ) -> Aggregate:
        """Set and remove items. Again: the same."""
        with self._database.begin() as conn:
            before = aggregates.lock(conn, aggregate_id)
            touched = compute_nodes.touch(conn, before.hosts)
            zones = _zones(conn, before.hosts)
            aggregates.set_metadata(conn, before, metadata)
            for problem in _problems(conn, zones):
                raise Invalid(f"Aggregate {aggregate_id} cannot be changed: {problem}")
            after = aggregates.get(conn, aggregate_id)
        self._deltas.decided(touched)
        return after

    def delete(self, ctx: RequestContext, aggregate_id: int) -> None:
        """Remove an aggregate without hosts. Again: not found."""
        with self._database.begin() as conn:
            found = aggregates.lock(conn, aggregate_id)
            if found.hosts:
                raise Invalid(
                    f"Aggregate {aggregate_id} cannot be deleted: it has the hosts "
                    f"{', '.join(found.hosts)}."
                )
            aggregates.remove(conn, aggregate_id)

    def add_host(self, ctx: RequestContext, aggregate_id: int, host: str) -> Aggregate:
        """Add a compute host. Again: the host is in it already."""
        return self._move(aggregate_id, host, is_added=True)

    def remove_host(self, ctx: RequestContext, aggregate_id: int, host: str) -> Aggregate:
        """Take a host out. Again: the host is not in it."""
        return self._move(aggregate_id, host, is_added=False)

    def cache_images(self, ctx: RequestContext, aggregate_id: int, image_ids: list[str]) -> None:
        """Ask its hosts. Again: what they have, they keep."""
        self._warming.start(ctx, aggregate_id, image_ids)

    def _move(self, aggregate_id: int, host: str, *, is_added: bool) -> Aggregate:
        with self._database.begin() as conn:
            aggregates.lock(conn, aggregate_id)
            touched = compute_nodes.touch(conn, [host])
            if not touched:
                raise HostNotFound(host=host)
            zones = _zones(conn, [host])
            change = aggregates.add_host if is_added else aggregates.remove_host
            change(conn, aggregate_id, host)
            for problem in _problems(conn, zones):
                raise Conflict(f"Host {host} cannot change aggregate {aggregate_id}: {problem}")
            after = aggregates.get(conn, aggregate_id)
        self._deltas.decided(touched)
        return after


def _zones(conn: Connection, hosts: Sequence[str]) -> dict[str, str]:
    """The zone of each host; the default one for a host in none."""
    named = aggregates.zones_of(conn, hosts)
    return {host: next(iter(named.get(host, ())), aggregates.DEFAULT_ZONE) for host in hosts}


def _problems(conn: Connection, before: dict[str, str]) -> list[str]:
    """What is wrong with the zones of hosts as they are now, in words."""
    problems = []
    named = aggregates.zones_of(conn, list(before))
    for host, was in before.items():
        zones = named.get(host, [aggregates.DEFAULT_ZONE])
        if len(zones) > 1:
            problems.append(
                f"host {host} would be in the availability zones {' and '.join(zones)}."
            )
        elif zones[0] != was and (count := instances.count_on(conn, host)):
            problems.append(
                f"{count} servers are on host {host}, whose availability zone would change from "
                f"{was} to {zones[0]}."
            )
    return problems

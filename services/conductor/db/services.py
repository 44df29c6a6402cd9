# SPDX-License-Identifier: Apache-2.0
"""Services: the daemons that have said that they are there.

Whether a service is up is decided in SQL, from its last heartbeat and the database's clock: the
conductors' clocks need not agree. Statements take `down_after_s`, the silence that counts as down.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    RowMapping,
    Text,
    and_,
    any_,
    bindparam,
    case,
    column,
    delete,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT
from sqlalchemy.engine import Connection

from common.errors import HostNotFound, ServiceNotFound
from common.ids import NewUuid
from common.objects.service import Service
from services.conductor.db.aggregates import DEFAULT_ZONE, ZONE_KEY, zone_of
from services.conductor.db.tables import aggregate_hosts, aggregates, services

COMPUTE = "nova-compute"
INTERNAL_ZONE = "internal"
# What clients of the API know as services. Others (the API itself, the metadata service) are
# registered for `kilonova status` alone.
KNOWN_TO_CLIENTS = (COMPUTE, "nova-conductor", "nova-scheduler")
_s = services.c


def is_up(columns: Any) -> ColumnElement[bool]:
    """Heard from within `down_after_s` and not forced down, for the columns of `services`."""
    silence = bindparam("down_after_s", type_=Float) * literal_column("interval '1 second'")
    heard = func.coalesce(columns.last_seen_at > func.now() - silence, False)
    return and_(heard, ~columns.forced_down)


_SHOWN = select(
    *(_s[name] for name in Service.__struct_fields__ if name in _s),
    is_up(_s).label("is_up"),
    case((_s.binary == COMPUTE, zone_of(_s.host)), else_=INTERNAL_ZONE).label("availability_zone"),
)


def _service(row: RowMapping) -> Service:
    return Service(**row)


def list_services(
    conn: Connection,
    *,
    down_after_s: float,
    host: str | None = None,
    binary: str | None = None,
) -> list[Service]:
    """Services that clients know, in order of their id."""
    query = _SHOWN.where(_s.binary.in_(KNOWN_TO_CLIENTS)).order_by(_s.id)
    if host is not None:
        query = query.where(_s.host == host)
    if binary is not None:
        query = query.where(_s.binary == binary)
    rows = conn.execute(query, {"down_after_s": down_after_s}).mappings()
    return [_service(row) for row in rows]


def list_daemons(conn: Connection, *, down_after_s: float) -> list[Service]:
    """Every service, in order of their id."""
    rows = conn.execute(_SHOWN.order_by(_s.id), {"down_after_s": down_after_s}).mappings()
    return [_service(row) for row in rows]


def get(
    conn: Connection,
    *,
    down_after_s: float,
    uuid: str | None = None,
    host: str | None = None,
    binary: str | None = None,
) -> Service:
    """One service, by its uuid or by host and binary.

    Raises: ServiceNotFound (uuid), HostNotFound (host and binary).
    """
    named = _s.uuid == uuid if uuid is not None else and_(_s.host == host, _s.binary == binary)
    silence = {"down_after_s": down_after_s}
    row = conn.execute(_SHOWN.where(named), silence).mappings().one_or_none()
    if row is None and uuid is None:
        raise HostNotFound(host=host)
    if row is None:
        raise ServiceNotFound(service=uuid)
    return _service(row)


_enabled_computes = exists().where(_s.binary == COMPUTE, ~_s.disabled)
_IN_NAMED_ZONE = select(
    _enabled_computes.where(
        _s.host == aggregate_hosts.c.host,
        aggregate_hosts.c.aggregate_id == aggregates.c.id,
        aggregates.c.metadata[ZONE_KEY].as_string() == bindparam("zone"),
    )
)
_IN_DEFAULT_ZONE = select(_enabled_computes.where(zone_of(_s.host) == DEFAULT_ZONE))


def zone_is_available(conn: Connection, zone: str) -> bool:
    """Whether an availability zone has a compute service that is enabled."""
    if zone == DEFAULT_ZONE and conn.execute(_IN_DEFAULT_ZONE).scalar_one():
        return True
    return bool(conn.execute(_IN_NAMED_ZONE, {"zone": zone}).scalar_one())


def queues_of(conn: Connection, hosts: Sequence[str], *, down_after_s: float) -> dict[str, str]:
    """The queue that the compute service of each of these hosts listens on, where it is up."""
    rows = conn.execute(
        select(_s.host, func.coalesce(func.nullif(_s.rpc_server, ""), _s.host).label("queue"))
        .where(_s.binary == COMPUTE, _s.host.in_(hosts), is_up(_s))
        .order_by(_s.id),
        {"down_after_s": down_after_s},
    )
    return {row.host: row.queue for row in rows}


def with_id(conn: Connection, service: str, *, down_after_s: float) -> Service:
    """One service by its number or uuid, kept from changing. Raises: ServiceNotFound."""
    # A serial has 31 bits: a longer number is nobody's id, and no error either.
    is_number = service.isdecimal() and len(service) < 10
    named = _s.id == int(service) if is_number else _s.uuid == service
    query = _SHOWN.where(named).with_for_update(of=services)
    row = conn.execute(query, {"down_after_s": down_after_s}).mappings().one_or_none()
    if row is None:
        raise ServiceNotFound(service=service)
    return _service(row)


def register(
    conn: Connection,
    rows: Iterable[tuple[str, str, str, str]],
    *,
    new_uuid: NewUuid,
) -> dict[tuple[str, str], int]:
    """Make or refresh services of (binary, host, rpc_server, release); ids by (binary, host).

    A service that registers was heard from. What operators set (disabled, forced down) stays.
    Two statements whatever the number of services, three when one of them is new.
    """
    wanted = {(binary, host): (rpc_server, release) for binary, host, rpc_server, release in rows}
    # Not an upsert, which would use up a number of the sequence at each refresh: at ten thousand
    # hosts the sequence would end within a year. Locked in the order of ids, as heartbeats are.
    known = {
        (row.binary, row.host): row.id
        for row in conn.execute(
            select(_s.id, _s.binary, _s.host)
            .where(tuple_(_s.binary, _s.host).in_(sorted(wanted)))
            .order_by(_s.id)
            .with_for_update()
        )
    }
    if known:
        _refresh(conn, {key: (number, *wanted[key]) for key, number in known.items()})
    missing = sorted(wanted.keys() - known.keys())
    if missing:
        statement = insert(services).values(
            [
                {"uuid": new_uuid(), "binary": binary, "host": host,
                 "rpc_server": wanted[binary, host][0], "release": wanted[binary, host][1],
                 "last_seen_at": func.clock_timestamp()}
                for binary, host in missing
            ]
        )  # fmt: skip
        made = conn.execute(
            statement.on_conflict_do_update(
                index_elements=["host", "binary"],
                set_={name: statement.excluded[name] for name in ("rpc_server", "last_seen_at")},
            ).returning(_s.id, _s.binary, _s.host)
        )
        known |= {(row.binary, row.host): row.id for row in made}
    return known


def _refresh(conn: Connection, known: dict[tuple[str, str], tuple[int, str, str]]) -> None:
    new = values(
        column("id", Integer), column("rpc_server", Text), column("release", Text), name="new"
    ).data(list(known.values()))
    conn.execute(
        update(services)
        .where(_s.id == new.c.id)
        .values(
            rpc_server=new.c.rpc_server,
            release=func.coalesce(func.nullif(new.c.release, ""), _s.release),
            last_seen_at=func.clock_timestamp(),
        )
    )


_HEARD = (
    update(services)
    .where(_s.id.in_(
        # In the order of ids, so that two conductors that fold heartbeats do not deadlock.
        select(_s.id)
        .where(_s.binary == bindparam("of_binary"),
               _s.host == any_(bindparam("hosts", type_=ARRAY(PG_TEXT))))
        .order_by(_s.id)
        .with_for_update()
    ))
    .values(last_seen_at=func.clock_timestamp())
)  # fmt: skip


def heard_from(conn: Connection, binary: str, hosts: Sequence[str]) -> int:
    """These services are alive: one statement; how many of them are known."""
    return conn.execute(_HEARD, {"of_binary": binary, "hosts": list(hosts)}).rowcount


def change(conn: Connection, service_id: int, **changes: Any) -> None:
    """Set columns of one service."""
    conn.execute(
        update(services).where(_s.id == service_id).values(updated_at=func.now(), **changes)
    )


def remove(conn: Connection, service_id: int) -> None:
    """Delete a service; its compute nodes go with it."""
    conn.execute(delete(services).where(_s.id == service_id))


_UNPUBLISHED = select(_s.host, is_up(_s).label("is_up")).where(
    _s.binary == COMPUTE, _s.is_up_published != is_up(_s)
)


def unpublished(conn: Connection, *, down_after_s: float) -> dict[str, bool]:
    """Compute hosts whose state is not what was published last, and whether they are up."""
    rows = conn.execute(_UNPUBLISHED, {"down_after_s": down_after_s})
    return {row.host: row.is_up for row in rows}


def mark_published(conn: Connection, hosts: dict[str, bool]) -> None:
    """Remember what was published about compute hosts."""
    for is_up in (True, False):
        told = sorted(host for host, up in hosts.items() if up is is_up)
        if told:
            conn.execute(
                update(services)
                .where(_s.binary == COMPUTE, _s.host.in_(told))
                .values(is_up_published=is_up)
            )

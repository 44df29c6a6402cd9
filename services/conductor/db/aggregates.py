# SPDX-License-Identifier: Apache-2.0
"""Aggregates, and the availability zones that their metadata makes."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine import Connection

from common.errors import (
    AggregateHostExists,
    AggregateHostNotFound,
    AggregateNameExists,
    AggregateNotFound,
)
from common.objects.aggregate import Aggregate
from services.conductor.db.tables import aggregate_hosts, aggregates

ZONE_KEY = "availability_zone"
DEFAULT_ZONE = "nova"
_a = aggregates.c
_h = aggregate_hosts.c
_zone = _a.metadata[ZONE_KEY].as_string()
_none = literal_column("'{}'::text[]", ARRAY(Text))


def zone_of(host: ColumnElement[Any]) -> ColumnElement[str]:
    """The availability zone of a host, as an expression."""
    named = (
        select(_zone)
        .join(aggregate_hosts, _h.aggregate_id == _a.id)
        .where(_h.host == host, _zone.is_not(None))
        .order_by(_a.id)
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(named, DEFAULT_ZONE)


def ids_of(host: ColumnElement[Any]) -> ColumnElement[Any]:
    """The ids of a host's aggregates, as an expression that is an array."""
    ids = select(func.array_agg(_h.aggregate_id)).where(_h.host == host).scalar_subquery()
    return func.coalesce(ids, cast([], ARRAY(Integer)))


def metadata_of(host: ColumnElement[Any]) -> ColumnElement[Any]:
    """The metadata of a host's aggregates, as an expression that is a JSON list or NULL."""
    return (
        select(func.jsonb_agg(_a.metadata))
        .join(aggregate_hosts, _h.aggregate_id == _a.id)
        .where(_h.host == host)
        .scalar_subquery()
    )


_MEMBERS = (
    select(func.array_agg(_h.host)).where(_h.aggregate_id == _a.id).scalar_subquery().label("hosts")
)
_ALL = select(
    _a.id, _a.uuid, _a.name, func.coalesce(_MEMBERS, _none).label("hosts"), _a.metadata,
    _a.created_at, _a.updated_at,
).order_by(_a.id)  # fmt: skip


def list_aggregates(conn: Connection) -> list[Aggregate]:
    """Every aggregate with its hosts."""
    return [_aggregate(row) for row in conn.execute(_ALL)]


def get(conn: Connection, aggregate_id: int) -> Aggregate:
    """One aggregate. Raises: AggregateNotFound."""
    row = conn.execute(_ALL.where(_a.id == aggregate_id)).one_or_none()
    if row is None:
        raise AggregateNotFound(aggregate=aggregate_id)
    return _aggregate(row)


def lock(conn: Connection, aggregate_id: int) -> Aggregate:
    """Let no other transaction change an aggregate or its hosts; how it is now.

    Raises: AggregateNotFound.
    """
    conn.execute(select(_a.id).where(_a.id == aggregate_id).with_for_update())
    return get(conn, aggregate_id)


def add(conn: Connection, *, uuid: str, name: str, metadata: dict[str, str]) -> Aggregate:
    """Make an aggregate. Raises: AggregateNameExists."""
    made = conn.execute(
        insert(aggregates)
        .values(uuid=uuid, name=name, metadata=metadata)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(_a.id)
    ).scalar_one_or_none()
    if made is None:
        raise AggregateNameExists(name=name)
    return get(conn, made)


def rename(conn: Connection, aggregate_id: int, name: str) -> None:
    """Give an aggregate another name. Raises: AggregateNameExists."""
    # Two renames to one name at a time meet in the unique constraint: rare, and refused as well.
    taken = select(_a.id).where(_a.name == name, _a.id != aggregate_id)
    if conn.execute(taken).first() is not None:
        raise AggregateNameExists(name=name)
    _change(conn, aggregate_id, name=name)


def set_metadata(conn: Connection, before: Aggregate, items: dict[str, str | None]) -> None:
    """Set items of a locked aggregate, and remove those that are None."""
    whole = before.metadata | items
    kept = {key: value for key, value in whole.items() if value is not None}
    _change(conn, before.id, metadata=kept)


def remove(conn: Connection, aggregate_id: int) -> None:
    """Remove an aggregate."""
    conn.execute(delete(aggregates).where(_a.id == aggregate_id))


def add_host(conn: Connection, aggregate_id: int, host: str) -> None:
    """Add a host. Raises: AggregateHostExists."""
    made = conn.execute(
        insert(aggregate_hosts)
        .values(aggregate_id=aggregate_id, host=host)
        .on_conflict_do_nothing()
        .returning(_h.host)
    ).first()
    if made is None:
        raise AggregateHostExists(aggregate=aggregate_id, host=host)
    _change(conn, aggregate_id)


def remove_host(conn: Connection, aggregate_id: int, host: str) -> None:
    """Take a host out. Raises: AggregateHostNotFound."""
    gone = conn.execute(
        delete(aggregate_hosts)
        .where(_h.aggregate_id == aggregate_id, _h.host == host)
        .returning(_h.host)
    ).first()
    if gone is None:
        raise AggregateHostNotFound(aggregate=aggregate_id, host=host)
    _change(conn, aggregate_id)


def zones_of(conn: Connection, hosts: Sequence[str]) -> dict[str, list[str]]:
    """The different zones that aggregates give each of these hosts; none for a host in none."""
    rows = conn.execute(
        select(_h.host, func.array_agg(_zone.distinct()).label("zones"))
        .join(aggregates, _h.aggregate_id == _a.id)
        .where(_h.host.in_(hosts), _zone.is_not(None))
        .group_by(_h.host)
    )
    return {row.host: sorted(row.zones) for row in rows}


def _change(conn: Connection, aggregate_id: int, **values: Any) -> None:
    conn.execute(
        update(aggregates).where(_a.id == aggregate_id).values(updated_at=func.now(), **values)
    )


def _aggregate(row: Any) -> Aggregate:
    return Aggregate(**{**row._mapping, "hosts": tuple(sorted(row.hosts))})

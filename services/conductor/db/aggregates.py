# SPDX-License-Identifier: Apache-2.0
"""Aggregates, and the availability zones that their metadata makes."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Connection

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


_MEMBERS = (
    select(func.array_agg(_h.host)).where(_h.aggregate_id == _a.id).scalar_subquery().label("hosts")
)
_ALL = select(
    _a.id, _a.uuid, _a.name, func.coalesce(_MEMBERS, _none).label("hosts"), _a.metadata,
    _a.created_at, _a.updated_at,
).order_by(_a.id)  # fmt: skip


def list_aggregates(conn: Connection) -> list[Aggregate]:
    """Every aggregate with its hosts."""
    return [
        Aggregate(**{**row._mapping, "hosts": tuple(sorted(row.hosts))})
        for row in conn.execute(_ALL)
    ]

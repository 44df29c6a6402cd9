# SPDX-License-Identifier: Apache-2.0
"""Instances: read whole, written by column.

PostgreSQL makes each row one JSON text whose keys are the fields of `Instance`, so nothing here
lists columns. The text of a list goes on to the API as it is. What decides which instances a list
has stands in `server_filters.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.engine import Connection

from common.errors import InstanceNotFound, Invalid
from common.objects.flavor import Flavor
from common.objects.guest_metadata import GuestMetadata
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.json_list import JsonList
from common.objects.new_server import ServerFilters
from services.conductor.db import server_filters
from services.conductor.db.server_group_tables import server_group_members, server_groups
from services.conductor.db.services import is_up
from services.conductor.db.tables import fixed_addresses, instances, services

_decode_one = msgspec.json.Decoder(Instance).decode
_decode_many = msgspec.json.Decoder(list[Instance]).decode
_i = instances.c

host_status = case(
    (_i.host.is_(None), ""),
    (services.c.forced_down, "DOWN"),
    (services.c.disabled, "MAINTENANCE"),
    (is_up(services.c), "UP"),
    else_="UNKNOWN",
)
_with_host = instances.outerjoin(
    services, and_(services.c.host == _i.host, services.c.binary == "nova-compute")
)
_of_group = server_group_members.c.group_id == server_groups.c.id
_server_group = (
    select(server_groups.c.uuid)
    .select_from(server_group_members.join(server_groups, _of_group))
    .where(server_group_members.c.instance_uuid == _i.uuid)
    .scalar_subquery()
)
_KEPT = tuple(name for name in Instance.__struct_fields__ if name in _i)
_MADE = (_i.deleted_at.is_not(None).label("deleted"), host_status.label("host_status"))
_WHOLE: list[ColumnElement[Any]] = [
    *(_i[name] for name in _KEPT),
    *_MADE,
    _server_group.label("server_group"),
]
# A list leaves out what none shows: each column of a thousand rows takes PostgreSQL 0.5 ms.
_UNLISTED = frozenset(("keypair", "system_metadata", "shares", "launched_on"))
_LISTED: list[ColumnElement[Any]] = [
    *(_i[name] for name in _KEPT if name not in _UNLISTED),
    *_MADE,
]
# Of a page's images, which are bulky, only what is shown: before the page is cut it would be made
# of every row that is sorted.
_UNLISTED_OF_IMAGE = sorted(frozenset(ImageMeta.__struct_fields__) - {"id", "properties"})
_OF_LISTED: ColumnElement[Any] = literal_column(
    ", ".join(str(each.key) for each in _LISTED if each is not _i.image)
    + f", image - '{{{','.join(_UNLISTED_OF_IMAGE)}}}'::text[] AS image"
)
# A flavor is not optional in an Instance: the brief form carries what its columns know.
_BRIEF: list[ColumnElement[Any]] = [
    _i.uuid, _i.id, _i.name, _i.hostname, _i.project_id, _i.user_id, _i.vm_state, _i.task_state,
    _i.created_at, _i.updated_at,
    func.json_build_object(
        "flavorid", _i.flavorid, "name", "", "vcpus", _i.vcpus, "memory_mib", _i.memory_mib,
        "root_gib", 0,
    ).label("flavor"),
]  # fmt: skip


def _as_json(rows: Select[Any], *beside: str) -> Select[Any]:
    """Each row as one JSON text, and its columns `beside` once more behind it."""
    found = rows.subquery("found")
    whole = cast(func.row_to_json(literal_column("found")), Text)
    return select(whole, *(found.c[name] for name in beside)).select_from(found)


def _as_page(rows: Select[Any]) -> Select[Any]:
    """Rows of `_LISTED` as they travel."""
    return select(_OF_LISTED).select_from(rows.subquery("page"))


_EVERY = select(*_WHOLE).select_from(_with_host)
_EVERY_LISTED = select(*_LISTED).select_from(_with_host)
_EVERY_BRIEF = select(*_BRIEF).select_from(instances)
_BY_UUID = _EVERY.where(_i.uuid == bindparam("uuid"))
_LIVE = _BY_UUID.where(_i.deleted_at.is_(None))
_MINE = _LIVE.where(_i.project_id == bindparam("project_id"))
_GET = {
    (True, False): _as_json(_LIVE),
    (False, False): _as_json(_MINE),
    (True, True): _as_json(_LIVE.with_for_update(of=instances)),
    (False, True): _as_json(_MINE.with_for_update(of=instances)),
}
_GET_ANY = _as_json(_BY_UUID.with_for_update(of=instances))
# What no guest is told costs a crowd of them half of the look-up: it is left out.
_TOLD: list[ColumnElement[Any]] = [
    _i.uuid, _i.id, _i.project_id, _i.user_id, _i.name, _i.hostname, _i.vm_state, _i.created_at,
    _i.flavor, _i.image, _i.kernel_id, _i.ramdisk_id, _i.availability_zone, _i.launch_index,
    _i.reservation_id, _i.keypair, _i.user_data, _i.metadata, _i.vifs, _i.block_devices, _i.shares,
    _i.security_groups, _i.root_device_name,
]  # fmt: skip
_OF_GUESTS = _as_json(
    select(*_TOLD, _i.guest_password).where(
        or_(
            _i.uuid == any_(bindparam("uuids", type_=ARRAY(Text))),
            fixed_addresses.has_any(bindparam("addresses", type_=ARRAY(Text))),
        ),
        _i.deleted_at.is_(None),
    ),
    "guest_password",
)


def get(
    conn: Connection,
    uuid: str,
    *,
    down_after_s: float,
    project_id: str | None = None,
    for_update: bool = False,
) -> Instance:
    """An instance that is not deleted, of `project_id` when that is given.

    `for_update` keeps others from changing it until the transaction ends.
    Raises: InstanceNotFound.
    """
    found = conn.execute(
        _GET[project_id is None, for_update],
        {"uuid": uuid, "project_id": project_id, "down_after_s": down_after_s},
    ).scalar_one_or_none()
    if found is None:
        raise InstanceNotFound(instance=uuid)
    return _decode_one(found)


def get_even_deleted(conn: Connection, uuid: str, *, down_after_s: float) -> Instance:
    """An instance whose row is still there, kept from others' changes until the transaction ends.

    Raises: InstanceNotFound.
    """
    found = conn.execute(
        _GET_ANY, {"uuid": uuid, "down_after_s": down_after_s}
    ).scalar_one_or_none()
    if found is None:
        raise InstanceNotFound(instance=uuid)
    return _decode_one(found)


def of_guests(
    conn: Connection, uuids: Sequence[str], addresses: Sequence[str]
) -> list[GuestMetadata]:
    """Those of `uuids`, and those that have one of the fixed `addresses`; each once.

    Their instances have what guests are told; the rest is as if it were not known.
    """
    values = {"uuids": list(uuids), "addresses": list(addresses)}
    found = conn.execute(_OF_GUESTS, values).all()
    told = _decode_many(_array(text for text, _ in found))
    return [
        GuestMetadata(instance=instance, password=password)
        for instance, (_, password) in zip(told, found, strict=True)
    ]


def list_servers(
    conn: Connection, filters: ServerFilters, *, down_after_s: float, brief: bool = False
) -> JsonList[Instance]:
    """Instances that `filters` lets through, in its order: one statement, two with a marker.

    They lack what no list shows (see `_LISTED`).
    Raises: Invalid (unknown marker, filter or sort key).
    """
    if filters.limit == 0:
        return JsonList(b"[]", Instance)
    query = (_EVERY_BRIEF if brief else _EVERY_LISTED).where(*server_filters.conditions(filters))
    order = server_filters.order(filters.sort)
    if filters.marker is not None:
        query = query.where(order.after(_marker_values(conn, filters, order)))
    query = query.order_by(*order.clauses()).limit(bindparam("page", filters.limit))
    page = query if brief else _as_page(query)
    rows = conn.execute(_as_json(page), {"down_after_s": down_after_s}).scalars()
    return JsonList(_array(rows), Instance)


def _array(rows: Iterable[str]) -> bytes:
    """The JSON array of rows that are JSON. (PostgreSQL takes longer to make one.)"""
    return f"[{','.join(rows)}]".encode()


def _marker_values(
    conn: Connection, filters: ServerFilters, order: server_filters.Order
) -> tuple[Any, ...]:
    """What the marker's row has in the columns of `order`; it may be deleted by now."""
    query = select(*order.expressions).where(_i.uuid == filters.marker)
    if filters.project_id is not None:
        query = query.where(_i.project_id == filters.project_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise Invalid(f"marker [{filters.marker}] not found")
    return tuple(row)


_COLUMNS = tuple(name for name in _KEPT if name != "id")


def insert_new(conn: Connection, new: Iterable[Instance]) -> None:
    """Add instances: one statement whatever their number."""
    conn.execute(insert(instances), [_row(instance) for instance in new])


def counted_columns(*flavors: Flavor) -> dict[str, int]:
    """The columns that quotas count, of an instance that may end with any of `flavors`."""
    return {
        "vcpus": max(flavor.vcpus for flavor in flavors),
        "memory_mib": max(flavor.memory_mib for flavor in flavors),
    }


def flavor_columns(flavor: Flavor) -> dict[str, Any]:
    """The columns that say which flavor an instance has."""
    return {
        "flavor": flavor,
        "flavorid": flavor.flavorid,
        **counted_columns(flavor),
    }


def _row(instance: Instance) -> dict[str, Any]:
    row = {name: getattr(instance, name) for name in _COLUMNS}
    row["tags"] = list(instance.tags)
    row |= flavor_columns(instance.flavor)
    row["image_id"] = instance.image.id if instance.image else None
    return row


def change(conn: Connection, uuid: str, **values: Any) -> datetime:
    """Set columns of one instance, with values as `Instance` has them; its new `updated_at`.

    Raises: InstanceNotFound.
    """
    if "tags" in values:
        values["tags"] = list(values["tags"])
    updated_at: datetime | None = conn.execute(
        update(instances)
        .where(_i.uuid == bindparam("of_uuid", uuid))
        .values(updated_at=func.clock_timestamp(), **values)
        .returning(_i.updated_at)
    ).scalar_one_or_none()
    if updated_at is None:
        raise InstanceNotFound(instance=uuid)
    return updated_at


def is_live(conn: Connection, uuid: str) -> bool:
    """Whether an instance is there and not deleted."""
    query = select(_i.id).where(_i.uuid == uuid, _i.deleted_at.is_(None))
    return conn.execute(query).first() is not None


def set_guest_password(conn: Connection, uuid: str, password: str) -> bool:
    """Keep what the guest posted, once; False when it had posted one before."""
    return bool(
        conn.execute(
            update(instances)
            .where(_i.uuid == uuid, _i.guest_password.is_(None), _i.deleted_at.is_(None))
            .values(guest_password=password)
        ).rowcount
    )


def forget_guest_password(conn: Connection, uuid: str) -> None:
    """Forget what the guest posted."""
    conn.execute(update(instances).where(_i.uuid == uuid).values(guest_password=None))


def guest_password(conn: Connection, uuid: str) -> str | None:
    """What the guest posted; None when it has not."""
    return conn.execute(select(_i.guest_password).where(_i.uuid == uuid)).scalar_one_or_none()


def with_volume(conn: Connection, volume_id: str) -> list[str]:
    """Instances that have a volume, oldest first."""
    has = _i.block_devices.contains([{"volume_id": volume_id}])
    query = select(_i.uuid).where(has, _i.deleted_at.is_(None)).order_by(_i.id)
    return list(conn.execute(query).scalars())


def names_on(conn: Connection, hosts: Sequence[str]) -> dict[str, list[list[str]]]:
    """For each of `hosts` the (uuid, name) pairs of its instances, oldest first."""
    rows = conn.execute(
        select(_i.host, _i.uuid, _i.name)
        .where(_i.host.in_(hosts), _i.deleted_at.is_(None))
        .order_by(_i.id)
    )
    found: dict[str, list[list[str]]] = {host: [] for host in hosts}
    for host, uuid, name in rows:
        found[str(host)].append([uuid, name])
    return found


def hosts_of(conn: Connection, uuids: Sequence[str], *, project_id: str) -> dict[str, str]:
    """Where those of `uuids` are that belong to a project and are on a host."""
    rows = conn.execute(
        select(_i.uuid, _i.host).where(
            _i.uuid.in_(uuids),
            _i.project_id == project_id,
            _i.host.is_not(None),
            _i.deleted_at.is_(None),
        )
    )
    return {uuid: str(host) for uuid, host in rows}


def count_on(conn: Connection, host: str) -> int:
    """How many instances belong on `host`."""
    return conn.execute(
        select(func.count()).where(_i.host == host, _i.deleted_at.is_(None))
    ).scalar_one()


def image_counts(
    conn: Connection, properties: Sequence[str]
) -> dict[str, dict[str, dict[str, int]]]:
    """By host, image property and value: how many instances have it; of all `properties` if ()."""
    item = func.jsonb_each_text(_i.image["properties"]).table_valued("key", "value", name="item")
    query = (
        select(_i.host, item.c.key, item.c.value, func.count())
        .select_from(instances.join(item, true()))
        .where(_i.host.is_not(None), _i.deleted_at.is_(None))
        .group_by(_i.host, item.c.key, item.c.value)
    )
    if properties:
        query = query.where(item.c.key.in_(properties))
    found: dict[str, dict[str, dict[str, int]]] = {}
    for host, name, value, number in conn.execute(query):
        found.setdefault(str(host), {}).setdefault(name, {})[value] = number
    return found


def marked_before(
    conn: Connection, vm_state: str, key: str, *, older_than_s: float, most: int
) -> list[str]:
    """Instances at rest in `vm_state` whose time `key` in `system_metadata` is that long past."""
    marked_at = cast(_i.system_metadata[key].astext, DateTime(timezone=True))
    age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    rows = conn.execute(
        select(_i.uuid)
        .where(_i.vm_state == vm_state, _i.task_state.is_(None), _i.deleted_at.is_(None))
        .where(_i.system_metadata.has_key(key), marked_at < func.clock_timestamp() - age)
        .order_by(marked_at)
        .limit(most)
    )
    return list(rows.scalars())

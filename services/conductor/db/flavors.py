# SPDX-License-Identifier: Apache-2.0
"""Flavors, and which projects may use those that are not public."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy import exc as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import (
    Conflict,
    ExtraSpecNotFound,
    FlavorAccessExists,
    FlavorAccessNotFound,
    FlavorExists,
    FlavorNameExists,
    FlavorNotFound,
    Invalid,
)
from common.objects.flavor import Flavor
from services.conductor.db.tables import flavor_projects, flavors

_f = flavors.c
_p = flavor_projects.c
_WHOLE = select(*(_f[name] for name in Flavor.__struct_fields__))
_WRITTEN = tuple(
    name for name in Flavor.__struct_fields__ if name not in ("id", "created_at", "updated_at")
)
# The API's words for columns that we name with their units; a weight that nobody has orders none.
_ALIASES = {
    "memory_mb": "memory_mib", "root_gb": "root_gib", "ephemeral_gb": "ephemeral_gib",
    "swap": "swap_mib", "vcpu_weight": "id",
}  # fmt: skip
_SORTABLE = frozenset(Flavor.__struct_fields__) - {"extra_specs"}


def _flavor(row: RowMapping) -> Flavor:
    return Flavor(**row)


def _usable_by(ctx: RequestContext) -> ColumnElement[bool]:
    if ctx.is_admin:
        return true()
    return or_(_f.is_public, _granted_to(ctx.project_id))


def _granted_to(project_id: str | None) -> ColumnElement[bool]:
    return exists().where(_p.flavor_id == _f.id, _p.project_id == project_id)


def list_flavors(
    conn: Connection,
    ctx: RequestContext,
    *,
    is_public: bool | None = True,
    name: str | None = None,
    min_memory_mib: int = 0,
    min_root_gib: int = 0,
    sort_key: str = "flavorid",
    sort_dir: str = "asc",
    limit: int = 1000,
    marker: str | None = None,
) -> list[Flavor]:
    """Flavors that the caller may use, in order; ties by id.

    Who is no administrator sees public flavors and those granted to its project, whatever
    `is_public` says. Raises: Invalid (unknown marker or sort key).
    """
    query = _WHOLE.where(_f.memory_mib >= min_memory_mib, _f.root_gib >= min_root_gib)
    if name is not None:
        query = query.where(_f.name == name)
    if not ctx.is_admin:
        query = query.where(_usable_by(ctx))
    elif is_public:
        query = query.where(or_(_f.is_public, _granted_to(ctx.project_id)))
    elif is_public is False:
        query = query.where(~_f.is_public)
    sorted_by = _ALIASES.get(sort_key, sort_key)
    if sorted_by not in _SORTABLE or sort_dir not in ("asc", "desc"):
        raise Invalid(f"Sort key supplied is invalid: {sort_key} {sort_dir}")
    column = _f[sorted_by]
    if marker is not None:
        bound = conn.execute(select(column, _f.id).where(_f.flavorid == marker)).one_or_none()
        if bound is None:
            raise Invalid(f"marker [{marker}] not found")
        query = query.where(_behind(column, bound[0], bound[1], sort_dir))
    ascending = sort_dir == "asc"
    first = column.asc().nulls_first() if ascending else column.desc().nulls_last()
    query = query.order_by(first, _f.id.asc() if ascending else _f.id.desc()).limit(limit)
    return [_flavor(row) for row in conn.execute(query).mappings()]


def _behind(
    column: ColumnElement[Any], value: Any, number: int, direction: str
) -> ColumnElement[bool]:
    """What follows a row; what has no value comes first when ascending and last otherwise."""
    later = _f.id > number if direction == "asc" else _f.id < number
    if value is None:
        same = and_(column.is_(None), later)
        return or_(column.is_not(None), same) if direction == "asc" else same
    if direction == "asc":
        return tuple_(column, _f.id) > tuple_(value, number)
    return or_(tuple_(column, _f.id) < tuple_(value, number), column.is_(None))


def get(conn: Connection, ctx: RequestContext, flavorid: str) -> Flavor:
    """One flavor that the caller may use. Raises: FlavorNotFound."""
    query = _WHOLE.where(_f.flavorid == flavorid, _usable_by(ctx))
    row = conn.execute(query).mappings().one_or_none()
    if row is None:
        raise FlavorNotFound(flavor=flavorid)
    return _flavor(row)


def add(conn: Connection, flavor: Flavor) -> Flavor:
    """Make a flavor. Raises: FlavorExists, FlavorNameExists.

    After either error the transaction can do nothing more.
    """
    values = {name: getattr(flavor, name) for name in _WRITTEN}
    try:
        made = conn.execute(insert(flavors).values(values).returning(*_WHOLE.selected_columns))
    except sa.IntegrityError as clash:
        if "uq_flavors_name" in str(clash.orig):
            raise FlavorNameExists(name=flavor.name) from clash
        raise FlavorExists(flavor=flavor.flavorid) from clash
    return _flavor(made.mappings().one())


def describe(conn: Connection, flavorid: str, description: str | None) -> Flavor:
    """Set the description. Raises: FlavorNotFound."""
    return _change(conn, flavorid, description=description)


def remove(conn: Connection, flavorid: str) -> None:
    """Delete a flavor; instances keep their copy. Raises: FlavorNotFound."""
    if not conn.execute(delete(flavors).where(_f.flavorid == flavorid)).rowcount:
        raise FlavorNotFound(flavor=flavorid)


def change_extra_specs(
    conn: Connection, flavorid: str, *, set_items: dict[str, str], delete_keys: list[str]
) -> dict[str, str]:
    """Set and delete extra specs; all of them afterwards.

    Raises: FlavorNotFound, ExtraSpecNotFound (a key to delete is not there).
    """
    had: dict[str, str] | None = conn.execute(
        select(_f.extra_specs).where(_f.flavorid == flavorid).with_for_update()
    ).scalar_one_or_none()
    if had is None:
        raise FlavorNotFound(flavor=flavorid)
    missing = [key for key in delete_keys if key not in had]
    if missing:
        raise ExtraSpecNotFound(flavor=flavorid, key=missing[0])
    kept = {key: value for key, value in had.items() if key not in delete_keys}
    return _change(conn, flavorid, extra_specs=kept | set_items).extra_specs


def _change(conn: Connection, flavorid: str, **values: Any) -> Flavor:
    changed = conn.execute(
        update(flavors)
        .where(_f.flavorid == flavorid)
        .values(updated_at=func.now(), **values)
        .returning(*_WHOLE.selected_columns)
    )
    row = changed.mappings().one_or_none()
    if row is None:
        raise FlavorNotFound(flavor=flavorid)
    return _flavor(row)


def access(conn: Connection, flavorid: str, *, even_public: bool = False) -> list[str]:
    """Projects with access to a flavor.

    Raises: FlavorNotFound (when it is public too, unless `even_public`).
    """
    rows = conn.execute(
        select(_f.is_public, _p.project_id)
        .outerjoin(flavor_projects, _p.flavor_id == _f.id)
        .where(_f.flavorid == flavorid)
        .order_by(_p.project_id)
    ).all()
    if not rows or (rows[0].is_public and not even_public):
        raise FlavorNotFound(
            None if not rows else "Access list not available for public flavors.", flavor=flavorid
        )
    return [row.project_id for row in rows if row.project_id is not None]


def grant(conn: Connection, flavorid: str, project_id: str, *, even_public: bool = False) -> None:
    """Give a project access.

    Raises: FlavorNotFound, FlavorAccessExists, Conflict (the flavor is public, unless
    `even_public`).
    """
    flavor = _kept(conn, flavorid)
    if flavor.is_public and not even_public:
        raise Conflict("Can not add access to a public flavor.")
    made = conn.execute(
        insert(flavor_projects)
        .values(flavor_id=flavor.id, project_id=project_id)
        .on_conflict_do_nothing()
    )
    if not made.rowcount:
        raise FlavorAccessExists(flavor=flavorid, project=project_id)


def revoke(conn: Connection, flavorid: str, project_id: str) -> None:
    """Take a project's access. Raises: FlavorNotFound, FlavorAccessNotFound."""
    flavor = _kept(conn, flavorid)
    gone = conn.execute(
        delete(flavor_projects).where(_p.flavor_id == flavor.id, _p.project_id == project_id)
    )
    if not gone.rowcount:
        raise FlavorAccessNotFound(flavor=flavorid, project=project_id)


def _kept(conn: Connection, flavorid: str) -> Any:
    """Number and kind of a flavor, which stays for the transaction. Raises: FlavorNotFound."""
    row = conn.execute(
        select(_f.id, _f.is_public).where(_f.flavorid == flavorid).with_for_update(read=True)
    ).one_or_none()
    if row is None:
        raise FlavorNotFound(flavor=flavorid)
    return row

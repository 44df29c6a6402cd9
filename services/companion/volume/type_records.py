# SPDX-License-Identifier: Apache-2.0
"""Volume types in the store: who may use which, and which is the default."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, insert, or_, select, true
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.ids import new_uuid
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume.call import VolumeCall
from services.companion.volume.records import Row, stamp
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

MULTIATTACH = "multiattach"
_t, _a, _d = (
    tables.volume_types.c, tables.volume_type_access.c, tables.volume_default_types.c,
)  # fmt: skip


def usable(call: VolumeCall) -> ColumnElement[bool]:
    """Types that the caller's project may use."""
    if call.is_admin:
        return true()
    open_to_it = select(_a.type_id).where(_a.project_id == (call.project_id or ""))
    return or_(_t.is_public, _t.id.in_(open_to_it))


def find(conn: Connection, call: VolumeCall, type_id: str) -> Row:
    """One type by its id. Raises Fault 404."""
    row = _one(conn, (_t.id == type_id) & usable(call))
    if row is None:
        raise Fault(404, f"Volume type {shown(type_id)} could not be found.")
    return row


def find_named(conn: Connection, call: VolumeCall, word: str) -> Row:
    """One type by its id or name. Raises Fault 404."""
    row = _one(conn, (_t.id == word) & usable(call)) or _one(conn, (_t.name == word) & usable(call))
    if row is None:
        raise Fault(404, f"Volume type {shown(word)} could not be found.")
    return row


def default_of(conn: Connection, project_id: str, default_name: str) -> Row:
    """The type of a volume of the project when its request names none."""
    own = select(_d.type_id).where(_d.project_id == project_id)
    row = _one(conn, _t.id.in_(own)) or _one(conn, _t.name == default_name)
    if row is None:
        raise Fault(500, f"The default volume type {default_name} is missing.")
    return row


def is_multiattach(extra_specs: Mapping[str, Any]) -> bool:
    """Whether volumes of a type with these extra specs go to several instances at once."""
    return str(extra_specs.get(MULTIATTACH, "")).split() == ["<is>", "True"]


def create(conn: Connection, clock: Clock, name: str, **values: Any) -> Row:
    """A new type. Raises Fault 409."""
    row: Row = {
        "id": new_uuid(), "name": name, "description": None, "is_public": True, "extra_specs": {},
        "created_at": stamp(clock), "updated_at": None, **values,
    }  # fmt: skip
    try:
        conn.execute(insert(tables.volume_types).values(row))
    except sa.IntegrityError as clash:
        raise Fault(409, f"Volume Type {shown(name)} already exists.") from clash
    return row


def ensure_default(store: Store, clock: Clock, name: str) -> None:
    """Make the default type when it is missing. Again: nothing."""
    with store.write() as conn:
        if _one(conn, _t.name == name) is None:
            create(conn, clock, name, description="Default Volume Type")


def _one(conn: Connection, condition: ColumnElement[bool]) -> Row | None:
    row = conn.execute(select(tables.volume_types).where(condition)).mappings().one_or_none()
    return None if row is None else dict(row)

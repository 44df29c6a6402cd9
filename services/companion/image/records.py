# SPDX-License-Identifier: Apache-2.0
"""Images in the store: who may see them, how they are read and shown.

Reading any number of images takes three statements: rows, properties, tags.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, true
from sqlalchemy.engine import Connection

from common.ids import is_uuid_like
from services.companion.identity.callers import Caller
from services.companion.store import tables
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

Image = dict[str, Any]


def stamp(moment: datetime) -> str:
    """A time as the Image API shows it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shared_with(project_id: str | None, status: str | None) -> ColumnElement[bool]:
    """Images that list the project as a member, with a status or any."""
    m = tables.image_members.c
    ids = select(m.image_id).where(m.member_id == project_id)
    if status is not None:
        ids = ids.where(m.status == status)
    return (tables.images.c.visibility == "shared") & tables.images.c.id.in_(ids)


def may_see(caller: Caller) -> ColumnElement[bool]:
    """Images that the caller may show."""
    i = tables.images.c
    if caller.reads_everything:
        return true()
    return or_(
        i.visibility.in_(("public", "community")),
        i.owner == caller.project_id,
        shared_with(caller.project_id, None),
    )


def find(conn: Connection, caller: Caller, image_id: str) -> Image:
    """One image. Raises Fault 404 also for those that the caller may not see."""
    if is_uuid_like(image_id):
        found = load(conn, [image_id.lower()], may_see(caller))
        if found:
            return found[0]
    raise Fault(404, f"No image found with ID {shown(image_id)}")


def find_own(conn: Connection, caller: Caller, image_id: str) -> Image:
    """One image that the caller may change. Raises Fault 403 or 404."""
    image = find(conn, caller, image_id)
    caller.must_write()
    if not caller.is_admin and image["owner"] != caller.project_id:
        raise Fault(403, "You are not the owner of this image.")
    return image


def load(
    conn: Connection, ids: Sequence[str], condition: ColumnElement[bool] | None = None
) -> list[Image]:
    """Images with properties and tags, in the order of `ids`."""
    wanted = select(tables.images).where(tables.images.c.id.in_(ids))
    if condition is not None:
        wanted = wanted.where(condition)
    rows = {row["id"]: dict(row) for row in conn.execute(wanted).mappings()}
    p, t = tables.image_properties.c, tables.image_tags.c
    free: dict[str, dict[str, str]] = defaultdict(dict)
    for row in conn.execute(select(tables.image_properties).where(p.image_id.in_(rows))):
        free[row.image_id][row.name] = row.value
    tags: dict[str, list[str]] = defaultdict(list)
    for row in conn.execute(select(tables.image_tags).where(t.image_id.in_(rows)).order_by(t.tag)):
        tags[row.image_id].append(row.tag)
    return [
        {**rows[i], "properties": free[i], "tags": tags[i]} for i in ids if i in rows
    ]  # fmt: skip


def set_properties(conn: Connection, image_id: str, properties: dict[str, str]) -> None:
    """Make these the image's free properties."""
    table = tables.image_properties
    conn.execute(delete(table).where(table.c.image_id == image_id))
    rows = [{"image_id": image_id, "name": n, "value": v} for n, v in properties.items()]
    if rows:
        conn.execute(insert(table), rows)


def set_tags(conn: Connection, image_id: str, tags: Sequence[str]) -> None:
    """Make these the image's tags."""
    table = tables.image_tags
    conn.execute(delete(table).where(table.c.image_id == image_id))
    if tags:
        rows = [{"image_id": image_id, "tag": tag} for tag in dict.fromkeys(tags)]
        conn.execute(insert(table), rows)


def show(image: Image) -> dict[str, Any]:
    """An image as the Image API shows it; a free property never hides an attribute."""
    row = {k: v for k, v in image.items() if k != "properties"}
    path = f"/v2/images/{image['id']}"
    return {
        **image["properties"],
        **row,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }

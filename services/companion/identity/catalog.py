# SPDX-License-Identifier: Apache-2.0
"""The service catalogue as a token carries it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from services.companion.store import tables


def catalog(conn: Connection, project_id: str | None) -> list[dict[str, Any]]:
    """Every enabled service with its enabled endpoints; URLs filled in for the project."""
    s, e = tables.services.c, tables.endpoints.c
    rows = conn.execute(
        select(s.id, s.type, s.name, e.id.label("endpoint_id"), e.interface, e.region_id, e.url)
        .join_from(tables.services, tables.endpoints)
        .where(s.enabled, e.enabled)
        .order_by(s.type, e.interface)
    )
    services: dict[str, dict[str, Any]] = {}
    for row in rows:
        url = _filled(row.url, project_id)
        if url is None:
            continue
        service = services.setdefault(
            row.id, {"id": row.id, "type": row.type, "name": row.name, "endpoints": []}
        )
        service["endpoints"].append(
            {
                "id": row.endpoint_id,
                "interface": row.interface,
                "region": row.region_id,
                "region_id": row.region_id,
                "url": url,
            }
        )
    return list(services.values())


def _filled(url: str, project_id: str | None) -> str | None:
    for name in ("project_id", "tenant_id"):
        for mark in (f"%({name})s", f"$({name})s"):
            if mark in url:
                if project_id is None:
                    return None
                url = url.replace(mark, project_id)
    return url

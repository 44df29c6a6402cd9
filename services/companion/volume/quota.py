# SPDX-License-Identifier: Apache-2.0
"""What projects may have, and what they have: counted from the rows themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.engine import Connection

from services.companion.store import tables
from services.companion.web.faults import Fault

UNLIMITED = -1
# The owner of the limits of projects without their own. No project's id has a colon.
CLASS = "class:default"

_v, _s, _q = tables.volumes.c, tables.volume_snapshots.c, tables.volume_quotas.c
_COUNTED = ("volumes", "snapshots", "gigabytes")


@dataclass(frozen=True)
class Defaults:
    """Limits as the configuration has them; -1 is unlimited. Sizes in GiB."""

    volumes: int = 10
    gigabytes: int = 1000
    snapshots: int = 10
    largest_volume: int = UNLIMITED


def limits(conn: Connection, owner: str, defaults: Defaults) -> dict[str, int]:
    """Every limit of a project (or of CLASS), by resource; those by type too."""
    found: dict[str, int] = {
        "volumes": defaults.volumes,
        "snapshots": defaults.snapshots,
        "gigabytes": defaults.gigabytes,
        "per_volume_gigabytes": defaults.largest_volume,
        "backups": 0,
        "backup_gigabytes": 0,
        "groups": 0,
    }
    for name in conn.scalars(select(tables.volume_types.c.name)):
        found |= {f"{counted}_{name}": UNLIMITED for counted in _COUNTED}
    rows = conn.execute(select(tables.volume_quotas).where(_q.owner.in_((CLASS, owner)))).all()
    for row in sorted(rows, key=lambda row: row.owner != CLASS):
        if row.resource in found:
            found[row.resource] = row.limit
    return found


def usage(conn: Connection, project_id: str) -> dict[str, int]:
    """What the project has, by resource; what is not there is zero."""
    t = tables.volume_types.c
    larger = case((_v.new_size > _v.size, _v.new_size), else_=_v.size)
    volumes = conn.execute(
        select(t.name, func.count(), func.coalesce(func.sum(larger), 0))
        .join_from(tables.volumes, tables.volume_types)
        .where(_v.project_id == project_id)
        .group_by(t.name)
    ).all()
    snapshots = conn.execute(
        select(t.name, func.count(), func.coalesce(func.sum(_s.size), 0))
        .join_from(tables.volume_snapshots, tables.volumes)
        .join(tables.volume_types)
        .where(_s.project_id == project_id)
        .group_by(t.name)
    ).all()
    used: dict[str, int] = dict.fromkeys(_COUNTED, 0)
    for counted, rows in (("volumes", volumes), ("snapshots", snapshots)):
        for name, count, gib in rows:
            for resource, number in ((counted, count), ("gigabytes", gib)):
                used[resource] += number
                by_type = f"{resource}_{name}"
                used[by_type] = used.get(by_type, 0) + number
    return used


def check_size(conn: Connection, project_id: str, gib: int, defaults: Defaults) -> None:
    """Raise Fault 413 for a volume larger than one may be."""
    most = limits(conn, project_id, defaults)["per_volume_gigabytes"]
    if 0 <= most < gib:
        raise Fault(
            413, f"Requested volume size {gib} is larger than maximum allowed limit {most}."
        )


def check(
    conn: Connection,
    project_id: str,
    type_name: str,
    wanted: Mapping[str, int],
    defaults: Defaults,
) -> None:
    """Raise Fault 413 when the project has not as much left as `wanted` of a resource."""
    allowed, used = limits(conn, project_id, defaults), usage(conn, project_id)
    for resource, more in wanted.items():
        for name in (resource, f"{resource}_{type_name}"):
            limit, has = allowed[name], used.get(name, 0)
            if more > 0 and 0 <= limit < has + more:
                raise Fault(413, _refusal(resource, name, limit, has, more))


def check_type(
    conn: Connection, project_id: str, type_name: str, wanted: Mapping[str, int], defaults: Defaults
) -> None:
    """As `check`, of the limits of the type alone: what there is only changes its type."""
    by_type = {f"{resource}_{type_name}": more for resource, more in wanted.items()}
    allowed, used = limits(conn, project_id, defaults), usage(conn, project_id)
    for name, more in by_type.items():
        limit, has = allowed[name], used.get(name, 0)
        if 0 <= limit < has + more:
            raise Fault(413, _refusal(name.partition("_")[0], name, limit, has, more))


def _refusal(resource: str, name: str, limit: int, has: int, more: int) -> str:
    if resource == "gigabytes":
        return (
            f"Requested volume or snapshot exceeds allowed {name} quota. Requested {more}G, quota "
            f"is {limit}G and {has}G has been consumed."
        )
    return f"Maximum number of {resource} allowed ({limit}) exceeded for quota '{name}'."


def absolute(conn: Connection, project_id: str, defaults: Defaults) -> dict[str, Any]:
    """Limits and usage as `/limits` shows them."""
    allowed, used = limits(conn, project_id, defaults), usage(conn, project_id)
    return {
        "maxTotalVolumes": allowed["volumes"],
        "maxTotalSnapshots": allowed["snapshots"],
        "maxTotalVolumeGigabytes": allowed["gigabytes"],
        "maxTotalBackups": allowed["backups"],
        "maxTotalBackupGigabytes": allowed["backup_gigabytes"],
        "totalVolumesUsed": used["volumes"],
        "totalSnapshotsUsed": used["snapshots"],
        "totalGigabytesUsed": used["gigabytes"],
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }

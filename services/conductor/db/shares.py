# SPDX-License-Identifier: Apache-2.0
"""Which instances of a host have a share: the host may mount it for as long as one has."""

from collections.abc import Collection

from sqlalchemy import func, select, text
from sqlalchemy.engine import Connection

from services.conductor.db.tables import instances

_i = instances.c
# An arbitrary number that keeps these advisory locks apart from others of this database.
_LOCK_SPACE = 7205
_LOCK = text("SELECT pg_advisory_xact_lock(:space, hashtext(:host))")


def of_others(conn: Connection, host: str, share_ids: Collection[str], *, but: str) -> list[str]:
    """Those of the shares that instances on the host have, or shall have, other than `but`.

    Two that let go of a share at once wait for each other here, to the end of the transaction: the
    second sees that it is the last. Call it behind the change of the instance's own row.
    """
    if not share_ids:
        return []
    conn.execute(_LOCK, {"space": _LOCK_SPACE, "host": host})
    query = select(_i.shares).where(
        _i.host == host,
        _i.deleted_at.is_(None),
        _i.uuid != but,
        func.jsonb_array_length(_i.shares) > 0,
    )
    held = {
        each["share_id"]
        for shares in conn.execute(query).scalars()
        for each in shares
        if not each.get("is_let_go")
    }
    return sorted(held & set(share_ids))

# SPDX-License-Identifier: Apache-2.0
"""Power states: what hosts see of guests, taken over by instances at rest."""

from collections.abc import Mapping

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import INTEGER as PG_INTEGER
from sqlalchemy.dialects.postgresql import TEXT as PG_TEXT
from sqlalchemy.engine import Connection

from common.states import PowerState, TaskState, VmState
from services.conductor.db.tables import instances

_i = instances.c

# 1 runs, 4 is shut down, 6 has crashed. A guest that ended by itself is stopped, paused or not, one
# that was started behind our back is active; other states are changed by operations alone.
_TAKE_OVER = text("""
UPDATE instances
SET power_state = seen.state, updated_at = clock_timestamp(),
    vm_state = CASE
        WHEN vm_state IN ('active', 'paused') AND seen.state IN (4, 6) THEN 'stopped'
        WHEN vm_state = 'stopped' AND seen.state = 1 THEN 'active'
        ELSE vm_state END
FROM unnest(:uuids, :states) AS seen(uuid, state)
WHERE instances.uuid = seen.uuid AND instances.host = :host
  AND instances.task_state IS NULL AND instances.deleted_at IS NULL
  AND (instances.power_state <> seen.state
       OR (vm_state IN ('active', 'paused') AND seen.state IN (4, 6))
       OR (vm_state = 'stopped' AND seen.state = 1))
RETURNING instances.uuid, instances.vm_state
""").bindparams(
    bindparam("uuids", type_=ARRAY(PG_TEXT)), bindparam("states", type_=ARRAY(PG_INTEGER))
)


def take_over(conn: Connection, host: str, states: Mapping[str, int]) -> dict[str, str]:
    """Note what `host` saw of its guests at rest: one statement; vm_state of those that changed."""
    rows = conn.execute(
        _TAKE_OVER,
        {"host": host, "uuids": list(states), "states": [int(s) for s in states.values()]},
    )
    return {row.uuid: row.vm_state for row in rows}


_TO_REVIVE = (
    update(instances)
    .where(
        _i.host == bindparam("on_host"),
        _i.power_state == int(PowerState.RUNNING),
        _i.vm_state.in_((VmState.ACTIVE, VmState.RESCUED, VmState.RESIZED)),
        _i.task_state.is_(None),
        _i.deleted_at.is_(None),
    )
    .values(task_state=TaskState.POWERING_ON, updated_at=func.clock_timestamp())
    .returning(_i.uuid)
)


def to_revive(conn: Connection, host: str) -> list[str]:
    """The instances at rest that ran on `host`, as far as is known; they are to be powered on."""
    return list(conn.execute(_TO_REVIVE, {"on_host": host}).scalars())


_RECORDED = select(_i.uuid, _i.power_state).where(
    _i.host == bindparam("host"), _i.deleted_at.is_(None)
)


def recorded(conn: Connection, host: str) -> dict[str, int]:
    """Uuid and recorded power state of every instance that belongs on `host`."""
    return {row.uuid: row.power_state for row in conn.execute(_RECORDED, {"host": host})}

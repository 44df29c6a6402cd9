# SPDX-License-Identifier: Apache-2.0
"""The journal's tables: tasks, and operations that are owed to hosts.

The history of a task's steps is a list in its own row: it is written with the row, so it costs no
statement, and it is bounded as attempts are.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.conductor.db.tables import metadata

UNFINISHED = ("queued", "runnable", "waiting")


def _time(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True))


tasks = Table(
    "tasks",
    metadata,
    # Tasks of one instance run in the order of this number.
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("flow", Text, nullable=False),
    Column("instance_uuid", Text, nullable=False),
    Column("context", JSONB, nullable=False),
    Column("params", JSONB, nullable=False),
    Column("results", JSONB, nullable=False, server_default=text("'{}'")),
    # What neighbours tell of while it runs: whoever moves the task reads it and never writes it.
    Column("signals", JSONB, nullable=False, server_default=text("'{}'")),
    # What the task must know and nobody may read: gone when the task ends.
    Column("secret", Text),
    Column("state", Text, nullable=False),
    Column("direction", Text, nullable=False, server_default=text("'forward'")),
    Column("step_index", Integer, nullable=False, server_default=text("0")),
    Column("step", Text),
    Column("step_started_at", DateTime(timezone=True)),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("rewinds", Integer, nullable=False, server_default=text("0")),
    Column("rewind_to", Integer),
    Column("steps", JSONB, nullable=False, server_default=text("'[]'")),
    Column("operation_id", Text),
    Column("operation", JSONB(none_as_null=True)),
    # Whether the task may go on without this operation when its host is down.
    Column("owable", Boolean, nullable=False, server_default=text("false")),
    Column("host", Text),
    Column("abort_requested", Boolean, nullable=False, server_default=text("false")),
    # Grows with each write of whoever moves the task: a mover that was overtaken writes nothing.
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("lease_owner", Text),
    _time("lease_until"),
    _time("next_run_at"),
    _time("deadline_at"),
    _time("resend_at"),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _time("updated_at"),
    _time("finished_at"),
)

_moving = text("state IN ('runnable', 'waiting')")
Index("ix_tasks_by_instance", tasks.c.instance_uuid, tasks.c.id)
Index("uq_tasks_one_an_instance", tasks.c.instance_uuid, unique=True, postgresql_where=_moving)
Index(
    "ix_tasks_by_operation",
    tasks.c.operation_id,
    postgresql_where=text("state = 'waiting'"),
)
Index("ix_tasks_runnable", tasks.c.id, postgresql_where=text("state = 'runnable'"))
Index("ix_tasks_waiting", tasks.c.host, tasks.c.id, postgresql_where=text("state = 'waiting'"))
Index("ix_tasks_queued", tasks.c.id, postgresql_where=text("state = 'queued'"))

owed_operations = Table(
    "owed_operations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("instance_uuid", Text, nullable=False),
    Column("operation", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Not asked for before this moment: the host has just failed to do it.
    _time("not_before"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "host"),
)

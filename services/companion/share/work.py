# SPDX-License-Identifier: Apache-2.0
"""What is done behind requests: each kind of job, how it ends, and what its second run does."""

import threading
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.share import records
from services.companion.share.exports import Exports, Permission
from services.companion.store import tables
from services.companion.store.engine import Store
from services.companion.volume.jobs import Finish, Job, Work

_s = tables.shares.c
_r = tables.share_access_rules.c


def kinds(store: Store, clock: Clock, exports: Exports) -> dict[str, Work]:
    """Every kind of job of shares."""
    tools = _Tools(store, clock, exports)
    return {
        "create-share": _Create(tools),
        "delete-share": _Delete(tools),
        "share-access": _Access(tools),
    }


@dataclass(frozen=True)
class _Tools:
    store: Store
    clock: Clock
    exports: Exports

    def permit(self) -> None:
        """Have exactly those mount shares whom access rules let in. Raises: WorkFailed."""
        self.exports.permit(self._permissions)

    def _permissions(self) -> list[Permission]:
        wanted = (
            select(_r.share_id, _r.access_to, _r.access_level)
            .join_from(tables.share_access_rules, tables.shares)
            .where(_s.status == records.AVAILABLE, _r.state != records.TO_DENY)
            .order_by(_r.share_id, _r.created_at, _r.id)
        )
        with self.store.read() as conn:
            return [Permission(*row) for row in conn.execute(wanted)]


class _ShareWork(Work):
    """Work on one share, which then has another status."""

    failed: str

    def __init__(self, tools: _Tools) -> None:
        self._tools = tools

    def fail(self, job: Job, reason: str) -> Finish:
        return self.ends(job, self.failed)

    def ends(self, job: Job, status: str) -> Finish:
        """Write the status."""
        return lambda conn: records.set_status(conn, self._tools.clock, job.subject, status)


class _Create(_ShareWork):
    """Again: the folder is there."""

    failed = records.ERROR

    def do(self, job: Job, stopping: threading.Event) -> Finish:
        self._tools.exports.create(job.subject)
        return self.ends(job, records.AVAILABLE)


class _Delete(_ShareWork):
    """Again: what is left of the folder goes."""

    failed = records.ERROR_DELETING

    def do(self, job: Job, stopping: threading.Event) -> Finish:
        self._tools.permit()
        self._tools.exports.remove(job.subject)

        def finish(conn: Connection) -> None:
            conn.execute(delete(tables.shares).where(_s.id == job.subject))

        return finish


class _Access(Work):
    """Have the rules of a share hold. Again: the same."""

    def __init__(self, tools: _Tools) -> None:
        self._tools = tools

    def do(self, job: Job, stopping: threading.Event) -> Finish:
        # Rules that come after this have a job of their own.
        with self._tools.store.read() as conn:
            rules = dict(
                conn.execute(select(_r.id, _r.state).where(_r.share_id == job.subject)).all()
            )
        self._tools.permit()
        return lambda conn: self._end(conn, rules)

    def _end(self, conn: Connection, rules: dict[str, str]) -> None:
        added = [i for i, state in rules.items() if state == records.TO_APPLY]
        gone = [i for i, state in rules.items() if state == records.TO_DENY]
        table, lock = tables.share_access_rules, tables.share_locks
        conn.execute(
            update(table)
            .where(_r.id.in_(added), _r.state == records.TO_APPLY)
            .values(state=records.ACTIVE)
        )
        conn.execute(delete(lock).where(lock.c.resource_id.in_(gone)))
        conn.execute(delete(table).where(_r.id.in_(gone)))

    def fail(self, job: Job, reason: str) -> Finish:
        def finish(conn: Connection) -> None:
            table = tables.share_access_rules
            waiting = _r.state.in_((records.TO_APPLY, records.TO_DENY))
            conn.execute(
                update(table).where(_r.share_id == job.subject, waiting).values(state=records.ERROR)
            )

        return finish

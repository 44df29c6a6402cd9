# SPDX-License-Identifier: Apache-2.0
"""Locks and states that are changed by word alone: done when accepted."""

from typing import Any

from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import Invalid
from common.objects.instance import Instance
from common.states import VmState
from services.conductor.accept.admission import Admission
from services.conductor.db import instances, journal

OWNER, ADMIN = "owner", "admin"
_RESETTABLE = (VmState.ACTIVE, VmState.ERROR)


class AcceptState:
    """Each raises: InstanceNotFound."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def lock(self, ctx: RequestContext, instance: str, reason: str | None) -> None:
        """Lock it. Again: the lock that is there stays, unless it is the project's own and the
        caller is not of the project.
        """
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            is_owner = found.project_id == ctx.project_id
            if found.locked_by and is_owner:
                return
            locked_by = OWNER if is_owner else ADMIN
            self._note(conn, ctx, found, "lock", locked_by=locked_by, locked_reason=reason)

    def unlock(self, ctx: RequestContext, instance: str) -> None:
        """Take the lock away. Again: there is none."""
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            self._note(conn, ctx, found, "unlock", locked_by=None, locked_reason=None)

    def reset_state(self, ctx: RequestContext, instance: str, vm_state: str) -> None:
        """Record a state at rest; what is under way ends where it can. Raises: Invalid."""
        if vm_state not in _RESETTABLE:
            raise Invalid(f"A state can be reset to active or error, not to {vm_state}.")
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            under_way = journal.unfinished(conn, instance)
            # Whoever is given up leaves the state alone: it is this request's to say.
            journal.request_abort(conn, [task.uuid for task in under_way])
            self._note(conn, ctx, found, "resetState", vm_state=vm_state, task_state=None)
        self._admission.give_up(under_way, if_undoable=True)

    def _note(
        self, conn: Connection, ctx: RequestContext, found: Instance, action: str, **values: Any
    ) -> None:
        instances.change(conn, found.uuid, **values)
        self._admission.record(conn, ctx, found.uuid, action=action)

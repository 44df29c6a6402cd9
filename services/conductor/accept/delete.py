# SPDX-License-Identifier: Apache-2.0
"""Accepting a deletion: in any state, and before anything else that is under way."""

from common.context import RequestContext
from common.states import TaskState
from services.conductor.accept.admission import Admission
from services.conductor.accept.checks import check
from services.conductor.db import instances, journal
from services.conductor.tasks.delete import Delete
from services.conductor.tasks.ground import has_networks


class AcceptDelete:
    """Accepts deletions."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def delete(self, ctx: RequestContext, instance: str, *, force: bool = False) -> None:
        """Insert a delete task. What is under way is given up; the deletion waits for its end.

        Again, while one is under way: nothing. `force` means the same while there is no soft
        delete. Raises: InstanceNotFound, InstanceLocked.
        """
        admission = self._admission
        with admission.begin() as conn:
            found = admission.find(conn, ctx, instance)
            check(ctx, found, "delete")
            before = journal.unfinished(conn, instance)
            if any(task.flow == Delete.name for task in before):
                return
            instances.change(conn, instance, task_state=TaskState.DELETING, progress=0)
            task = admission.task(ctx, Delete.name, found, has_networks=has_networks(found))
            launch = admission.insert(conn, ctx, task, action=Delete.name, after=before)
        launch()
        admission.give_up(before)

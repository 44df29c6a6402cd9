# SPDX-License-Identifier: Apache-2.0
"""Accepting deletions, in any state and before anything else that is under way, and their return.

With a time to reclaim after, a deletion is soft at first: the instance can be restored until then.
"""

import logging

from sqlalchemy.engine import Connection

from common.context import RequestContext, service_context
from common.errors import InstanceNotFound
from common.objects.instance import Instance
from common.states import TaskState, VmState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.checks import check
from services.conductor.db import instances, journal
from services.conductor.quota import Quota
from services.conductor.tasks.delete import Delete
from services.conductor.tasks.ground import has_networks
from services.conductor.tasks.shelve import SHELVED_IMAGE_KEY
from services.conductor.tasks.soft_delete import SOFT_DELETED_AT_KEY, Restore, SoftDelete

LOG = logging.getLogger(__name__)

_RESTORE = Operation("restore", Restore.name, TaskState.RESTORING, on_host=False)
_DELETIONS = frozenset((Delete.name, SoftDelete.name))
_MOST_RECLAIMED = 100  # in one round; the rest waits for the next


class AcceptDelete:
    """`reclaim_after_s` is how long a deleted instance can be restored; 0 for not at all."""

    def __init__(self, admission: Admission, quota: Quota, *, reclaim_after_s: int = 0) -> None:
        self._admission = admission
        self._quota = quota
        self._reclaim_after_s = reclaim_after_s

    def delete(self, ctx: RequestContext, instance: str, *, force: bool = False) -> None:
        """Insert a delete task. What is under way is given up; the deletion waits for its end.

        Soft where instances can be restored and this one has ever run, unless `force` is given.
        Again, while one is under way: nothing. Raises: InstanceNotFound, InstanceLocked.
        """
        admission = self._admission
        with admission.begin() as conn:
            found = admission.find(conn, ctx, instance)
            check(ctx, found, "delete")
            is_soft = bool(self._reclaim_after_s) and not force and found.launched_at is not None
            before = journal.unfinished(conn, instance)
            done_by = _DELETIONS if is_soft else {Delete.name}
            if any(task.flow in done_by for task in before):
                return
            if is_soft and found.vm_state == VmState.SOFT_DELETED and not before:
                return
            if is_soft:
                task_state = TaskState.SOFT_DELETING
                task = admission.task(ctx, SoftDelete.name, found, interrupts=bool(before))
            else:
                task_state = TaskState.DELETING
                task = admission.task(
                    ctx, Delete.name, found,
                    has_networks=has_networks(found),
                    shelved_image_id=found.system_metadata.get(SHELVED_IMAGE_KEY),
                )  # fmt: skip
            instances.change(conn, instance, task_state=task_state, progress=0)
            launch = admission.insert(conn, ctx, task, action=Delete.name, after=before)
        launch()
        admission.give_up(before)

    def restore(self, ctx: RequestContext, instance: str) -> None:
        """Insert a restore task.

        Raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, QuotaExceeded.
        """

        def prepare(conn: Connection, found: Instance) -> dict[str, object]:
            self._quota.check_create(
                conn, found.project_id, found.user_id,
                flavor=found.flavor, min_count=1, max_count=1,
            )  # fmt: skip
            return {}

        self._admission.admit(ctx, instance, _RESTORE, prepare=prepare)

    def reclaim(self) -> None:
        """Delete for good what was soft-deleted long enough ago. Again: what is left of it."""
        if not self._reclaim_after_s:
            return
        with self._admission.begin() as conn:
            due = instances.marked_before(
                conn,
                VmState.SOFT_DELETED,
                SOFT_DELETED_AT_KEY,
                older_than_s=self._reclaim_after_s,
                most=_MOST_RECLAIMED,
            )
        for instance in due:
            LOG.info("Reclaiming %s, deleted over %d s ago", instance, self._reclaim_after_s)
            try:
                self.delete(service_context(), instance, force=True)
            except InstanceNotFound:
                LOG.debug("Instance %s is gone already", instance)

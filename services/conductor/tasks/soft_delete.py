# SPDX-License-Identifier: Apache-2.0
"""Soft delete and restore: a deleted instance is kept, switched off, for those who change mind."""

from sqlalchemy.engine import Connection

from common.states import PowerState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow

# In `system_metadata` of a soft-deleted instance: when that was.
SOFT_DELETED_AT_KEY = "soft_deleted_at"


class SoftDelete(PowerFlow):
    """Switch an instance off and keep it until it is restored, or reclaimed after a while.

    SOFT_DELETED   as asked; where the host is down, its guest may still run there
    state before   the host could not switch it off: the action's message says why
    ERROR          the same, after something else had been interrupted for it
    """

    name = "soft_delete"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.power_off, event="compute_soft_delete_instance"),
            Commit(self.record),
        )

    def power_off(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host stop the guest. Again: a stopped one stays so."""
        instance = self._ground.instance(conn, task)
        if instance.host is None:
            return None
        grace_s = self._ground.grace_s(instance)
        order = self._order(conn, task, "power_off", more_s=grace_s, grace_s=grace_s)
        return order if order.host_is_up else None

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as deleted for now. Again: cannot be, its commit is also its record."""
        instance = self._ground.instance(conn, task)
        marks = {SOFT_DELETED_AT_KEY: self._ground.clock.now().isoformat()}
        reported = task.results.get("power_off") or {}
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=VmState.SOFT_DELETED,
            task_state=None,
            power_state=reported.get("power_state", instance.power_state),
            system_metadata=instance.system_metadata | marks,
        )

    def undone(self, conn: Connection, task: Task) -> None:
        """The state before, when that was one to rest in."""
        if task.params.get("interrupts") and not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))
        else:
            super().undone(conn, task)


class Restore(PowerFlow):
    """Bring a soft-deleted instance back.

    ACTIVE             it runs again
    SHELVED_OFFLOADED  it is on no host, as before
    SOFT_DELETED       the host could not start it: the action's message says why
    """

    name = "restore"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.power_on, event="compute_restore_instance"),
            Commit(self.record),
        )

    def power_on(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host start the guest. Again: a running guest is left alone."""
        if self._ground.instance(conn, task).host is None:
            return None
        return self._order(conn, task, "power_on")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as it is now. Again: cannot be, its commit is also its record."""
        instance = self._ground.instance(conn, task)
        kept = {k: v for k, v in instance.system_metadata.items() if k != SOFT_DELETED_AT_KEY}
        instances.change(conn, task.instance_uuid, system_metadata=kept)
        if instance.host is None:
            self._rest(conn, task, "power_on", VmState.SHELVED_OFFLOADED, PowerState.SHUTDOWN)
        else:
            self._rest(conn, task, "power_on", VmState.ACTIVE, PowerState.RUNNING)

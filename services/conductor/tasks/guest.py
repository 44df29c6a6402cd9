# SPDX-License-Identifier: Apache-2.0
"""What is done to the software inside a guest; the instance's state stays what it is."""

from sqlalchemy.engine import Connection

from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow


class TriggerCrashDump(PowerFlow):
    """Interrupt the guest so that its kernel dumps core; a refusal is in the action's message."""

    name = "trigger_crash_dump"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (OnHost(self.trigger_crash_dump, event="compute_trigger_crash_dump"),)

    def trigger_crash_dump(self, conn: Connection, task: Task) -> HostStep:
        """Have the host interrupt the guest. Again: under one id it does so once."""
        return self._order(conn, task, "trigger_crash_dump")

    def undone(self, conn: Connection, task: Task) -> None:
        """Nothing of the instance showed that this was under way."""


class ChangePassword(PowerFlow):
    """Set the password of the guest's administrator; a refusal is in the action's message."""

    name = "change_password"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.change_password, event="compute_set_admin_password"),
            Commit(self.record),
        )

    def change_password(self, conn: Connection, task: Task) -> HostStep:
        """Have the host tell the guest. Again: it is set again."""
        return self._order(conn, task, "change_password", password=task.secret or "")

    def record(self, conn: Connection, task: Task) -> None:
        """Show that nothing is under way. Again: cannot be, its commit is also its record."""
        instances.change(conn, task.instance_uuid, task_state=None)

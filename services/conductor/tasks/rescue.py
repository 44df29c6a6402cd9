# SPDX-License-Identifier: Apache-2.0
"""Rescue and unrescue: a guest started from another disk than its own, and back."""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.image import ImageMeta
from common.states import PowerState, VmState
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow


class Rescue(PowerFlow):
    """Start an instance from a rescue image, with its own disks beside it.

    RESCUED        it runs from the rescue image
    state before   the host could not; a guest that ran was started again from its own disk, and the
                   action's message says why
    ERROR          it could not be started from its own disk either: the fault names the host
    """

    name = "rescue"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.rescue, undo=self.unrescue, event="compute_rescue_instance"),
            Commit(self.record),
        )

    def rescue(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest from the image. Again: a rescue disk there is kept."""
        instance = msgspec.structs.replace(
            self._ground.instance(conn, task), admin_password=task.secret
        )
        return self._ground.order(
            conn,
            "rescue",
            instance,
            host=self._host(instance),
            deadline_s=self._ground.limits.build_timeout_s,
            image=msgspec.convert(task.params["image"], ImageMeta),
        )

    def unrescue(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host start a guest from its own disk that ran before. Again: once more.

        A host that is down does so when it is back.
        """
        if task.abort_requested or self._ground.instance(conn, task).vm_state != VmState.ACTIVE:
            return None
        return self._order(conn, task, "unrescue", owable=True)

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as rescued. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "rescue", VmState.RESCUED, PowerState.RUNNING)

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR: nobody knows from which disk it runs, if it runs."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))


class Unrescue(PowerFlow):
    """Start a rescued instance from its own disk.

    ACTIVE    it runs from its own disk
    RESCUED   the host could not start it: the action's message says why
    """

    name = "unrescue"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.unrescue, event="compute_unrescue_instance"),
            Commit(self.record),
        )

    def unrescue(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest from its own disk. Again: once more."""
        return self._order(conn, task, "unrescue")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "unrescue", VmState.ACTIVE, PowerState.RUNNING)

# SPDX-License-Identifier: Apache-2.0
"""Rebuild: an instance's disks and guest made anew, on the host, ports and claim that it has."""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.injected_file import InjectedFile
from common.states import PowerState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow


class Rebuild(PowerFlow):
    """Make an instance anew from the image that its row names by now.

    ACTIVE    it runs from the new image
    SHUTOFF   it was stopped before
    ERROR     its old disk is gone and the host could not make the new one: the fault says why. It
              may be rebuilt again
    """

    name = "rebuild"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.rebuild, event="compute_rebuild_instance"),
            OnHost(self.power_off, event="compute_stop_instance"),
            Commit(self.record),
        )

    def rebuild(self, conn: Connection, task: Task) -> HostStep:
        """Have the host make disks and guest anew. Again: under one id it does so once."""
        instance = msgspec.structs.replace(
            self._ground.instance(conn, task),
            admin_password=task.secret,
            injected_files=msgspec.convert(task.params["injected_files"], tuple[InjectedFile, ...]),
        )
        return self._ground.order(
            conn,
            "rebuild",
            instance,
            host=self._host(instance),
            deadline_s=self._ground.limits.build_timeout_s,
            preserve_ephemeral=bool(task.params["preserve_ephemeral"]),
        )

    def power_off(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host stop a guest that was stopped before. Again: it stays so."""
        if task.params["vm_state"] != VmState.STOPPED:
            return None
        return self._order(conn, task, "power_off", grace_s=0)

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as it is now. Again: cannot be, its commit is also its record."""
        instances.change(conn, task.instance_uuid, launched_at=self._ground.clock.now())
        if task.params["vm_state"] == VmState.STOPPED:
            self._rest(conn, task, "power_off", VmState.STOPPED, PowerState.SHUTDOWN)
        else:
            self._rest(conn, task, "rebuild", VmState.ACTIVE, PowerState.RUNNING)

    def undone(self, conn: Connection, task: Task) -> None:
        """ERROR with the reason, unless a deletion goes on from here: the old disk is gone."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))

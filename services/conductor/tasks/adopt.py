# SPDX-License-Identifier: Apache-2.0
"""Adoption: a guest has come alive to a host, and the flow that sent it has long given it up."""

import msgspec
from sqlalchemy.engine import Connection

from common.states import PowerState, VmState
from services.conductor import claims
from services.conductor.db import instances, journal
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.live_migrate import LiveMigrate, LiveMigrateParams
from services.conductor.tasks.placing import Claimed, claimed_by, has_volumes


class Adopt(LiveMigrate):
    """Show an instance where its guest is: the end of a live migration, whose beginning is past.

    ACTIVE or PAUSED   on the host that has the guest
    state before       it could not be claimed there, or its volumes not be connected: the action
                       says why
    """

    name = "adopt"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host),
            Commit(self.claim, undo=self.release),
            Call(self.connect_volumes, undo=self.drop_connections, when=has_volumes),
            *self.ending(),
        )

    def claim(self, conn: Connection, task: Task) -> Claimed:
        """Take room for what is there already, or keep what the migration was never rid of.

        Again: cannot be, its commit is also its record.
        """
        claims.release(conn, msgspec.convert(task.params, LiveMigrateParams).migration)
        return super().claim(conn, task)

    def arrive(self, conn: Connection, task: Task) -> bool:
        """The instance is the host's; it need not discard what it has.

        Again: cannot be, its commit is also its record.
        """
        journal.forgive(conn, task.instance_uuid, claimed_by(task).candidate.host)
        return super().arrive(conn, task)

    def settle(self, conn: Connection, task: Task) -> None:
        """Show it as it is there. Again: cannot be, its commit is also its record."""
        super().settle(conn, task)
        state = (task.results.get("welcome") or {}).get("power_state")
        is_paused = state == PowerState.PAUSED
        vm_state = VmState.PAUSED if is_paused else VmState.ACTIVE
        instances.change(conn, task.instance_uuid, vm_state=vm_state)

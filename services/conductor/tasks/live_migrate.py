# SPDX-License-Identifier: Apache-2.0
"""Live migration: a running instance moves without being switched off."""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.migration import MigrationStatus
from common.objects.network import RequestedNetwork, VirtualInterface
from services.conductor import claims
from services.conductor.db import instances, migrations
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import (
    Claimed,
    Placing,
    PlacingParams,
    claimed_by,
    rebound,
)

# In a task's results, when its user gave the migration up.
CANCELLED = "OperationCancelled"


class LiveMigrateParams(PlacingParams, frozen=True, kw_only=True):
    """`block_migration` None: the host finds out whether disks must be copied."""

    migration: str
    source_host: str
    ports: tuple[RequestedNetwork, ...] = ()
    block_migration: bool | None = None


class LiveMigrate(Placing):
    """Move a running instance to a host that is chosen.

    state before   it runs there, or it stays where it is and the action says why. What could not be
                   done once it had arrived is in the action's message as well
    ERROR          something could not be undone: the fault says what
    """

    name = "live_migrate"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host, event="conductor_live_migrate_instance"),
            Commit(self.claim, undo=self.release),
            OnHost(self.migrate_live, event="compute_live_migration"),
            PointOfNoReturn("the guest runs on the other host"),
            Commit(self.arrive),
            OnHost(self.welcome, event="compute_post_live_migration_at_destination"),
            Call(self.bind_ports),
            Commit(self.settle),
        )

    def claim(self, conn: Connection, task: Task) -> Claimed:
        """Take room on the new host beside the old claim.

        Again: cannot be, its commit is also its record.
        """
        params = _params(task)
        claimed = self._take(conn, task, holder=params.migration)
        candidate = claimed.candidate
        migrations.change(
            conn, params.migration, status=MigrationStatus.PREPARING,
            dest_host=candidate.host, dest_node=candidate.node,
        )  # fmt: skip
        task.after(lambda: self._ground.hosts_changed([candidate.host_uuid]))
        return claimed

    def release(self, conn: Connection, task: Task) -> None:
        """Give the new room back. Again: nothing is left to give."""
        freed = claims.release(conn, _params(task).migration)
        task.after(lambda: self._ground.hosts_changed(freed))

    def migrate_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host send the guest. Again: a guest that has gone is gone."""
        params = _params(task)
        migrations.change(conn, params.migration, status=MigrationStatus.RUNNING)
        return self._ground.order(
            conn, "migrate_live", self._ground.instance(conn, task), host=params.source_host,
            deadline_s=self._ground.limits.live_migration_timeout_s,
            to_host=claimed_by(task).candidate.host, block_migration=params.block_migration,
        )  # fmt: skip

    def arrive(self, conn: Connection, task: Task) -> bool:
        """The instance is the new host's; give the old room back.

        Again: cannot be, its commit is also its record.
        """
        params, claimed = _params(task), claimed_by(task)
        freed = claims.release(conn, task.instance_uuid)
        claims.hand_over(conn, params.migration, to=task.instance_uuid)
        migrations.change(conn, params.migration, status=MigrationStatus.POST_MIGRATING)
        instances.change(
            conn, task.instance_uuid,
            host=claimed.candidate.host, node=claimed.candidate.node,
            availability_zone=claimed.zone,
        )  # fmt: skip
        task.after(lambda: self._ground.hosts_changed(freed))
        return True

    def welcome(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host look after it. Again: the same."""
        return self._ground.order(
            conn, "welcome", self._ground.instance(conn, task),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.operation_timeout_s,
        )  # fmt: skip

    def bind_ports(self, task: Task) -> list[VirtualInterface]:
        """Bind the instance's ports to the new host. Again: they are."""
        params, claimed = _params(task), claimed_by(task)
        if not params.ports:
            return []
        return list(
            self._ground.ports.plug(
                instance=task.instance_uuid,
                project_id=params.spec.project_id,
                host=claimed.candidate.host,
                zone=claimed.zone,
                requested=params.ports,
                security_groups=(),
            )
        )

    def settle(self, conn: Connection, task: Task) -> None:
        """Show it as it is there. Again: cannot be, its commit is also its record."""
        instance = self._ground.instance(conn, task)
        bound = task.result("bind_ports", tuple[VirtualInterface, ...])
        reported = task.results.get("welcome") or {}
        instances.change(
            conn, task.instance_uuid,
            task_state=None,
            power_state=reported.get("power_state", instance.power_state),
            vifs=rebound(instance.vifs, bound) or instance.vifs,
        )  # fmt: skip
        migrations.change(conn, _params(task).migration, status=MigrationStatus.COMPLETED)

    def undone(self, conn: Connection, task: Task) -> None:
        """Where and as it was, unless a deletion goes on from here."""
        error = (task.results.get("error") or {}).get("name")
        status = MigrationStatus.CANCELLED if error == CANCELLED else MigrationStatus.ERROR
        migrations.change(conn, _params(task).migration, status=status)
        if not task.abort_requested:
            instances.change(conn, task.instance_uuid, task_state=None)

    def failed(self, conn: Connection, task: Task) -> None:
        """Running there, once it has arrived; else ERROR, with what could not be undone."""
        migrations.change(conn, _params(task).migration, status=MigrationStatus.ERROR)
        if task.abort_requested:
            return
        if "arrive" in task.results:
            instances.change(conn, task.instance_uuid, task_state=None)
        else:
            self._ground.rest_in_error(conn, task, str(task.reason))


def _params(task: Task) -> LiveMigrateParams:
    return msgspec.convert(task.params, LiveMigrateParams)

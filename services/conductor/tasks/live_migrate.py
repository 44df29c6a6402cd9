# SPDX-License-Identifier: Apache-2.0
"""Live migration: a running instance moves without being switched off."""

import msgspec
from sqlalchemy.engine import Connection

from common.errors import GuestHasArrived, KilonovaError, OperationCancelled
from common.objects.block_device import BlockDeviceMapping
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationStatus
from common.objects.network import VirtualInterface
from common.objects.volume import VolumeConnection
from common.states import PowerState
from services.conductor import claims
from services.conductor.db import instances, migrations
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn, Step
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import (
    Claimed,
    Placing,
    PlacingParams,
    claimed_by,
    has_volumes,
    rebound,
    why,
)
from services.conductor.tasks.storage import (
    connect_and_complete,
    connections_of,
    forget_connections,
    with_connections,
)

# In a task's results, when its user gave the migration up.
CANCELLED = "OperationCancelled"


class LiveMigrateParams(PlacingParams, frozen=True, kw_only=True):
    """`block_migration` None: the host finds out whether disks must be copied."""

    migration: str
    source_host: str
    block_migration: bool | None = None


class LiveMigrate(Placing):
    """Move a running instance to a host that is chosen.

    state before   it runs there, also when nobody heard of its arrival, or it stays where it is
                   and the action says why, and which hosts were tried. What could not be done once
                   it had arrived is in the action's message as well
    ERROR          something could not be undone: the fault says what
    """

    name = "live_migrate"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host, event="conductor_live_migrate_instance"),
            Commit(self.claim, undo=self.release),
            Call(self.connect_volumes, undo=self.drop_connections, when=has_volumes),
            OnHost(
                self.offer_live,
                undo=self.withdraw_live,
                event="compute_check_can_live_migrate_source",
            ),
            OnHost(self.prepare_live, undo=self.discard_live, event="compute_pre_live_migration"),
            OnHost(self.migrate_live, event="compute_live_migration"),
            *self.ending(),
        )

    def ending(self) -> tuple[Step, ...]:
        """The steps from the guest's arrival on."""
        return (
            PointOfNoReturn("the guest runs on the other host"),
            Commit(self.arrive),
            Call(self.drop_old_connections, when=has_volumes),
            OnHost(self.welcome, event="compute_post_live_migration_at_destination"),
            OnHost(self.clean_source),
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

    def connect_volumes(self, task: Task) -> list[VolumeConnection]:
        """Let the new host reach the volumes beside the old one. Again: connected anew."""
        storage = claimed_by(task).storage
        return connect_and_complete(
            self._ground, task.instance_uuid, storage.connector, storage.volumes,
            keep=storage.attachments,
        )  # fmt: skip

    def drop_connections(self, task: Task) -> None:
        """The new host does not need to reach the volumes. Again: it does not."""
        new = connections_of(task, "connect_volumes")
        self._ground.volumes.drop(each.attachment_id for each in new)

    def drop_old_connections(self, task: Task) -> None:
        """The old host does not need to reach the volumes any more. Again: it does not."""
        self._ground.volumes.drop(claimed_by(task).storage.attachments)

    def offer_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host say what the new one must know. Again: it says so anew."""
        return self._order(conn, task, "offer_live", host=_params(task).source_host)

    def withdraw_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host say nothing any more. Again: it does not."""
        host = _params(task).source_host
        return self._order(conn, task, "withdraw_live", host=host, owable=True)

    def prepare_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host make ready for the guest. Again: what is there is kept."""
        params = _params(task)
        return self._ground.order(
            conn, "prepare_live",
            msgspec.structs.replace(
                self._ground.instance(conn, task), block_devices=self._disks_there(conn, task)
            ),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.build_timeout_s,
            from_host=params.source_host, block_migration=params.block_migration,
        )  # fmt: skip

    def discard_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host remove what it made. Again: nothing left to remove is fine.

        It refuses where the guest has come all the same: who fell silent can have succeeded.
        """
        host = claimed_by(task).candidate.host
        return self._order(conn, task, "discard_live", host=host, owable=True)

    def migrate_live(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host send the guest. Again: a guest that has gone is gone."""
        params = _params(task)
        migrations.change(conn, params.migration, status=MigrationStatus.RUNNING)
        return self._ground.order(
            conn, "migrate_live", self._ground.instance(conn, task), host=params.source_host,
            deadline_s=self._ground.limits.live_migration_timeout_s,
            to_host=claimed_by(task).candidate.host,
            target=task.result("prepare_live", LiveTarget),
            disks_there=self._disks_there(conn, task),
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
            block_devices=self._disks_there(conn, task),
        )  # fmt: skip
        task.after(lambda: self._ground.hosts_changed(freed))
        return True

    def _disks_there(self, conn: Connection, task: Task) -> tuple[BlockDeviceMapping, ...]:
        """The instance's disks as the new host reaches them."""
        connections = connections_of(task, "connect_volumes")
        return with_connections(self._ground.instance(conn, task), connections)

    def welcome(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host look after it. Again: the same."""
        return self._order(conn, task, "welcome", host=claimed_by(task).candidate.host)

    def clean_source(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the old host, which did not say that the guest has gone, remove what it has of it.

        Again: nothing left to remove is fine.
        """
        state = (task.results.get("welcome") or {}).get("power_state")
        if "migrate_live" in task.results or state not in (PowerState.RUNNING, PowerState.PAUSED):
            return None
        return self._order(conn, task, "destroy", host=_params(task).source_host, owable=True)

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
        forget_connections(task, "connect_volumes")

    def _order(
        self, conn: Connection, task: Task, method: str, *, host: str, owable: bool = False
    ) -> HostStep:
        return self._ground.order(
            conn, method, self._ground.instance(conn, task), host=host,
            deadline_s=self._ground.limits.operation_timeout_s, owable=owable,
        )  # fmt: skip

    def rewind(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """A host says before anything moves that the guest does not fit it: another one may do."""
        if step != "prepare_live" or _params(task).forced or isinstance(error, OperationCancelled):
            return super().rewind(task, step, error)
        return self.try_another(task, error)

    def onward(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """The new host has the guest, though nobody heard the old one say so."""
        return "arrive" if isinstance(error, GuestHasArrived) else None

    def undone(self, conn: Connection, task: Task) -> None:
        """Where and as it was, unless a deletion goes on from here."""
        task.reason = why(task)
        error = (task.results.get("error") or {}).get("name")
        status = MigrationStatus.CANCELLED if error == CANCELLED else MigrationStatus.ERROR
        migrations.change(conn, _params(task).migration, status=status)
        forget_connections(task, "connect_volumes")
        if not task.abort_requested:
            instances.change(conn, task.instance_uuid, task_state=None)

    def failed(self, conn: Connection, task: Task) -> None:
        """Running there, once it has arrived; else ERROR, with what could not be undone."""
        migrations.change(conn, _params(task).migration, status=MigrationStatus.ERROR)
        forget_connections(task, "connect_volumes")
        if task.abort_requested:
            return
        if "arrive" in task.results:
            instances.change(conn, task.instance_uuid, task_state=None)
        else:
            self._ground.rest_in_error(conn, task, str(task.reason))


def _params(task: Task) -> LiveMigrateParams:
    return msgspec.convert(task.params, LiveMigrateParams)

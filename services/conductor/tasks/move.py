# SPDX-License-Identifier: Apache-2.0
"""Cold moves: resize and migrate, and what their owner decides afterwards.

The old host keeps the guest's disks aside, and its claim, until the move is confirmed or reverted.
Meanwhile the new claim stands under the migration's uuid.
"""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.objects.migration import Migration, MigrationStatus
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.versioned import Versioned
from common.objects.volume import VolumeConnection
from common.states import PowerState, TaskState, VmState
from services.conductor import claims
from services.conductor.db import instances, migrations
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import (
    UNDONE,
    Call,
    Commit,
    Flow,
    HostStep,
    OnHost,
    PointOfNoReturn,
)
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import (
    Claimed,
    Placing,
    PlacingParams,
    bind,
    claimed_by,
    has_volumes,
    ports_of,
    rebound,
    zone_of_host,
)
from services.conductor.tasks.storage import (
    Storage,
    connect_and_complete,
    connections_of,
    forget_connections,
    storage_of,
    with_connections,
)


class MoveParams(PlacingParams, frozen=True, kw_only=True):
    """`is_running`: start it there."""

    migration: str
    source_host: str
    is_running: bool = True


class ColdMove(Placing):
    """Bring an instance, with another flavor or as it is, to a host that is chosen.

    VERIFY_RESIZE   it runs there (or is off, as before) until its owner confirms or reverts
    state before    no host has room, or a host refused: all is undone, the action says why
    ERROR           the same, and something could not be undone: the fault names the step
    """

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host, event="conductor_migrate_server"),
            Commit(self.claim, undo=self.release),
            OnHost(self.set_aside, undo=self.take_back, event="compute_resize_instance"),
            Call(self.connect_volumes, undo=self.connect_back, when=has_volumes),
            Call(self.bind_ports, undo=self.bind_back),
            OnHost(self.receive, undo=self.discard, event="compute_finish_resize"),
            Commit(self.finish),
        )

    def claim(self, conn: Connection, task: Task) -> Claimed:
        """Take room on the first of the chosen hosts that still has it, beside the old claim.

        Again: cannot be, its commit is also its record.
        """
        params = _params(task)
        claimed = self._take(conn, task, holder=params.migration)
        candidate = claimed.candidate
        migrations.change(
            conn, params.migration, status=MigrationStatus.PRE_MIGRATING,
            dest_host=candidate.host, dest_node=candidate.node,
        )  # fmt: skip
        task.after(lambda: self._ground.hosts_changed([candidate.host_uuid]))
        return claimed

    def release(self, conn: Connection, task: Task) -> None:
        """Give the new room back. Again: nothing is left to give."""
        freed = claims.release(conn, _params(task).migration)
        task.after(lambda: self._ground.hosts_changed(freed))

    def set_aside(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host switch the guest off and put its disks aside. Again: they are."""
        params, instance = _params(task), self._ground.instance(conn, task)
        grace_s = self._ground.grace_s(instance)
        instances.change(conn, task.instance_uuid, task_state=TaskState.RESIZE_MIGRATING)
        migrations.change(conn, params.migration, status=MigrationStatus.MIGRATING)
        return self._ground.order(
            conn, "set_aside", self._ground.instance(conn, task), host=params.source_host,
            deadline_s=self._ground.limits.operation_timeout_s + grace_s, grace_s=grace_s,
        )  # fmt: skip

    def take_back(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host use the disks again, as the guest was. Again: it does."""
        params, instance = _params(task), self._ground.instance(conn, task)
        back = connections_of(task, UNDONE + "connect_volumes")
        return self._ground.order(
            conn, "take_back",
            msgspec.structs.replace(instance, block_devices=with_connections(instance, back)),
            host=params.source_host,
            deadline_s=self._ground.limits.operation_timeout_s, start=params.is_running,
        )  # fmt: skip

    def connect_back(self, task: Task) -> list[VolumeConnection] | None:
        """Let the old host reach the instance's volumes again. Again: connected anew."""
        if not has_volumes(task):
            return None
        storage = claimed_by(task).storage
        return connect_and_complete(
            self._ground, task.instance_uuid, storage.connector_back, storage.volumes
        )

    def bind_back(self, task: Task) -> None:
        """Bind them to the old host again. Again: they are."""
        self._bind(task, _params(task).source_host, claimed_by(task).zone)

    def receive(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host make the guest of the disks that the old one put aside.

        Again: what is there is kept.
        """
        params = _params(task)
        instances.change(conn, task.instance_uuid, task_state=TaskState.RESIZE_FINISH)
        migrations.change(conn, params.migration, status=MigrationStatus.POST_MIGRATING)
        instance = self._ground.instance(conn, task)
        return self._ground.order(
            conn, "receive",
            msgspec.structs.replace(
                instance,
                flavor=migrations.get(conn, params.migration).new_flavor,
                vifs=rebound(instance.vifs, _bound(task)),
                block_devices=self._disks_there(instance, task),
            ),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.build_timeout_s,
            from_host=params.source_host, start=params.is_running,
        )  # fmt: skip

    def discard(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the new host remove what it made. Again: nothing left to remove is fine.

        Where that is the old one, taking back does it: a removal that came late would hit the
        guest that is back.
        """
        if claimed_by(task).candidate.host == _params(task).source_host:
            return None
        return self.destroy(conn, task)

    def _disks_there(self, instance: Instance, task: Task) -> tuple[BlockDeviceMapping, ...]:
        """The instance's disks as the new host reaches them."""
        return with_connections(instance, connections_of(task, "connect_volumes"))

    def finish(self, conn: Connection, task: Task) -> None:
        """Show it where it is, to be confirmed. Again: cannot be, its commit is also its record."""
        params, claimed = _params(task), claimed_by(task)
        migration = migrations.get(conn, params.migration)
        instance = self._ground.instance(conn, task)
        reported = task.results.get("receive") or {}
        usual = PowerState.RUNNING if params.is_running else PowerState.SHUTDOWN
        instances.change(
            conn, task.instance_uuid,
            host=claimed.candidate.host, node=claimed.candidate.node,
            availability_zone=claimed.zone,
            vm_state=VmState.RESIZED, task_state=None,
            power_state=reported.get("power_state", usual),
            vifs=rebound(instance.vifs, _bound(task)),
            block_devices=self._disks_there(instance, task),
            launched_at=self._ground.clock.now(),
            **instances.flavor_columns(migration.new_flavor)
            | instances.counted_columns(migration.old_flavor, migration.new_flavor),
        )  # fmt: skip
        migrations.change(conn, params.migration, status=MigrationStatus.FINISHED)
        forget_connections(task, "connect_volumes")

    def undone(self, conn: Connection, task: Task) -> None:
        """The state before, unless a deletion goes on from here."""
        self._give_up(conn, task)
        if not task.abort_requested:
            instances.change(conn, task.instance_uuid, task_state=None)

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR, with what could not be undone."""
        self._give_up(conn, task)
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))

    def _give_up(self, conn: Connection, task: Task) -> None:
        migrations.change(conn, _params(task).migration, status=MigrationStatus.ERROR)
        instance = self._ground.instance(conn, task)
        back = connections_of(task, UNDONE + "connect_volumes")
        instances.change(
            conn, task.instance_uuid,
            block_devices=with_connections(instance, back),
            **instances.counted_columns(instance.flavor),
        )  # fmt: skip
        forget_connections(task, "connect_volumes", UNDONE + "connect_volumes")


class Resize(ColdMove):
    """A cold move to another flavor."""

    name = "resize"


class Migrate(ColdMove):
    """A cold move with the flavor that it has."""

    name = "migrate"


class SettleParams(Versioned, frozen=True, kw_only=True):
    """The move to confirm or to revert; ports are bound to the old host in its zone again."""

    migration: str
    project_id: str
    source_host: str
    zone: str


class Back(Versioned, frozen=True, kw_only=True):
    """What comes back to the old host with the instance."""

    storage: Storage
    ports: tuple[RequestedNetwork, ...] = ()


class Settling(Flow):
    """What confirming and reverting have in common: there is no way back from either."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def _migration(self, conn: Connection, task: Task) -> Migration:
        return migrations.get(conn, msgspec.convert(task.params, SettleParams).migration)

    def undone(self, conn: Connection, task: Task) -> None:
        """Given up halfway for a later request, which says what state that is.

        The instance keeps its room on both hosts until it is deleted.
        """
        self._give_up(conn, task)

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR, with what could not be done."""
        self._give_up(conn, task)
        self._ground.rest_in_error(conn, task, str(task.reason))

    def _give_up(self, conn: Connection, task: Task) -> None:
        params = msgspec.convert(task.params, SettleParams)
        migrations.change(conn, params.migration, status=MigrationStatus.ERROR)
        back = connections_of(task, "connect_back")
        if back:
            disks = with_connections(self._ground.instance(conn, task), back)
            instances.change(conn, task.instance_uuid, block_devices=disks)
            forget_connections(task, "connect_back")


class ConfirmResize(Settling):
    """Keep an instance where it moved to: ACTIVE, or SHUTOFF when it is off."""

    name = "confirm_resize"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            PointOfNoReturn("its owner is content"),
            OnHost(self.forget_aside, event="compute_confirm_resize"),
            Commit(self.settle),
        )

    def forget_aside(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host remove the disks that it put aside. Again: they are gone."""
        migration = self._migration(conn, task)
        return self._ground.order(
            conn, "forget_aside", self._ground.instance(conn, task),
            host=str(migration.source_host),
            deadline_s=self._ground.limits.operation_timeout_s, owable=True,
        )  # fmt: skip

    def settle(self, conn: Connection, task: Task) -> None:
        """Give the old room back. Again: cannot be, its commit is also its record."""
        migration = self._migration(conn, task)
        freed = claims.release(conn, task.instance_uuid)
        claims.hand_over(conn, migration.uuid, to=task.instance_uuid)
        migrations.change(conn, migration.uuid, status=MigrationStatus.CONFIRMED)
        instance = self._ground.instance(conn, task)
        is_off = instance.power_state == PowerState.SHUTDOWN
        vm_state = VmState.STOPPED if is_off else VmState.ACTIVE
        instances.change(
            conn, task.instance_uuid, vm_state=vm_state, task_state=None,
            **instances.counted_columns(instance.flavor),
        )  # fmt: skip
        task.after(lambda: self._ground.hosts_changed(freed))


class RevertResize(Settling):
    """Bring an instance back to where it was and what it was: ACTIVE, or SHUTOFF as before."""

    name = "revert_resize"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            PointOfNoReturn("its owner wants it back"),
            Commit(self.look_up),
            OnHost(self.discard, event="compute_revert_resize"),
            Call(self.connect_back, when=lambda task: bool(_back(task).storage.volumes)),
            Call(self.bind_back),
            OnHost(self.take_back, event="compute_finish_revert_resize"),
            Commit(self.settle),
        )

    def look_up(self, conn: Connection, task: Task) -> Back:
        """What is to be connected and bound to the old host. Again: the same."""
        host = msgspec.convert(task.params, SettleParams).source_host
        instance = self._ground.instance(conn, task)
        return Back(storage=storage_of(conn, instance, host=host), ports=ports_of(instance))

    def connect_back(self, task: Task) -> list[VolumeConnection]:
        """Let the old host reach the instance's volumes. Again: connected anew."""
        storage = _back(task).storage
        return connect_and_complete(
            self._ground, task.instance_uuid, storage.connector, storage.volumes
        )

    def discard(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the new host remove guest and disks, where it is not the old one.

        Again: nothing left to remove is fine.
        """
        migration = self._migration(conn, task)
        if migration.dest_host == migration.source_host:
            return None
        return self._ground.order(
            conn, "destroy", self._ground.instance(conn, task), host=str(migration.dest_host),
            deadline_s=self._ground.limits.operation_timeout_s, owable=True,
        )  # fmt: skip

    def bind_back(self, task: Task) -> list[VirtualInterface]:
        """Bind the instance's ports to the old host. Again: they are."""
        params = msgspec.convert(task.params, SettleParams)
        return bind(
            self._ground, task, params.project_id, params.source_host, params.zone,
            _back(task).ports,
        )  # fmt: skip

    def take_back(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host use its disks again. Again: it does."""
        migration = self._migration(conn, task)
        instance = self._ground.instance(conn, task)
        return self._ground.order(
            conn, "take_back",
            msgspec.structs.replace(
                instance, flavor=migration.old_flavor,
                vifs=rebound(instance.vifs, _bound_back(task)) or instance.vifs,
                block_devices=with_connections(instance, connections_of(task, "connect_back")),
            ),
            host=str(migration.source_host),
            deadline_s=self._ground.limits.operation_timeout_s,
            start=migration.old_vm_state == VmState.ACTIVE,
        )  # fmt: skip

    def settle(self, conn: Connection, task: Task) -> None:
        """Give the new room back. Again: cannot be, its commit is also its record."""
        migration = self._migration(conn, task)
        freed = claims.release(conn, migration.uuid)
        instance = self._ground.instance(conn, task)
        was_active = migration.old_vm_state == VmState.ACTIVE
        reported = task.results.get("take_back") or {}
        usual = PowerState.RUNNING if was_active else PowerState.SHUTDOWN
        instances.change(
            conn, task.instance_uuid,
            host=migration.source_host, node=migration.source_node,
            availability_zone=zone_of_host(conn, str(migration.source_host)),
            vm_state=migration.old_vm_state, task_state=None,
            power_state=reported.get("power_state", usual),
            vifs=rebound(instance.vifs, _bound_back(task)) or instance.vifs,
            block_devices=with_connections(instance, connections_of(task, "connect_back")),
            launched_at=self._ground.clock.now(),
            **instances.flavor_columns(migration.old_flavor),
        )  # fmt: skip
        forget_connections(task, "connect_back")
        migrations.change(conn, migration.uuid, status=MigrationStatus.REVERTED)
        task.after(lambda: self._ground.hosts_changed(freed))


def _params(task: Task) -> MoveParams:
    return msgspec.convert(task.params, MoveParams)


def _back(task: Task) -> Back:
    return task.result("look_up", Back)


def _bound(task: Task) -> tuple[VirtualInterface, ...]:
    return task.result("bind_ports", tuple[VirtualInterface, ...])


def _bound_back(task: Task) -> tuple[VirtualInterface, ...]:
    return task.result("bind_back", tuple[VirtualInterface, ...])

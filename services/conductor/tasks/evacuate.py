# SPDX-License-Identifier: Apache-2.0
"""Evacuate: an instance whose host is down is built anew on another one."""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.migration import MigrationStatus
from common.objects.network import VirtualInterface
from common.states import PowerState, TaskState, VmState
from services.conductor import claims
from services.conductor.db import instances, migrations
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.move import ColdMove, MoveParams
from services.conductor.tasks.placing import claimed_by, has_volumes, rebound
from services.conductor.tasks.plugging import Plugging, is_held
from services.conductor.tasks.storage import forget_connections


class Evacuate(Plugging, ColdMove):
    """Build an instance on a host that is chosen; what its old host has left is removed there
    when that comes back.

    ACTIVE, SHUTOFF   it is there, running or off as was asked for
    state before      no host has room, a host refused, or a port was not plugged: all is undone,
                      the action says why
    ERROR             it is there, but its guest, which was held, could not go on
    """

    name = "evacuate"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host, event="conductor_rebuild_server"),
            Commit(self.claim, undo=self.release),
            Call(self.connect_volumes, undo=self.connect_back, when=has_volumes),
            Call(self.bind_ports, undo=self.bind_back),
            OnHost(self.build, undo=self.discard, event="compute_rebuild_instance"),
            Call(self.await_plugged, when=self.is_to_wait),
            OnHost(self.power_off),
            PointOfNoReturn("the guest is there"),
            Commit(self.arrive),
            OnHost(self.clean_up),
            OnHost(self.go_on),
            Commit(self.settle),
        )

    def build(self, conn: Connection, task: Task) -> HostStep:
        """Have the new host make disks and guest. Again: what is there is kept."""
        instances.change(conn, task.instance_uuid, task_state=TaskState.REBUILD_SPAWNING)
        migrations.change(conn, _params(task).migration, status=MigrationStatus.MIGRATING)
        instance = self._ground.instance(conn, task)
        bound = task.result("bind_ports", tuple[VirtualInterface, ...])
        there = msgspec.structs.replace(
            instance,
            vifs=rebound(instance.vifs, bound),
            block_devices=self._disks_there(instance, task),
            admin_password=task.secret,
        )
        return self.order_build(conn, task, there)

    def power_off(self, conn: Connection, task: Task) -> HostStep | None:
        """Have it off where it was, or where that was asked for. Again: it stays off."""
        if _params(task).is_running:
            return None
        return self._ground.order(
            conn, "power_off", self._ground.instance(conn, task),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.operation_timeout_s, grace_s=0,
        )  # fmt: skip

    def go_on(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the new host let a guest go on that it holds, and that shall run. Again: it does."""
        return super().go_on(conn, task) if _params(task).is_running else None

    def clean_up(self, conn: Connection, task: Task) -> HostStep:
        """Have the old host remove what it has, once it is back. Again: nothing left is fine."""
        return self._ground.order(
            conn, "destroy", self._ground.instance(conn, task), host=_params(task).source_host,
            deadline_s=self._ground.limits.operation_timeout_s, owable=True,
        )  # fmt: skip

    def arrive(self, conn: Connection, task: Task) -> bool:
        """The instance is the new host's. Again: cannot be, its commit is also its record."""
        params, claimed = _params(task), claimed_by(task)
        instance = self._ground.instance(conn, task)
        freed = claims.release(conn, task.instance_uuid)
        claims.hand_over(conn, params.migration, to=task.instance_uuid)
        bound = task.result("bind_ports", tuple[VirtualInterface, ...])
        instances.change(
            conn, task.instance_uuid,
            host=claimed.candidate.host, node=claimed.candidate.node,
            launched_on=claimed.candidate.host, availability_zone=claimed.zone,
            vifs=rebound(instance.vifs, bound) or instance.vifs,
            block_devices=self._disks_there(instance, task),
            launched_at=self._ground.clock.now(),
        )  # fmt: skip
        forget_connections(task, "connect_volumes")
        task.after(lambda: self._ground.hosts_changed(freed))
        return True

    def settle(self, conn: Connection, task: Task) -> None:
        """Show it as it is there. Again: cannot be, as `arrive`."""
        is_running = _params(task).is_running
        migrations.change(conn, _params(task).migration, status=MigrationStatus.DONE)
        power_state = PowerState.RUNNING if is_running else PowerState.SHUTDOWN
        instances.change(conn, task.instance_uuid, power_state=power_state)
        if not task.abort_requested:
            vm_state = VmState.ACTIVE if is_running else VmState.STOPPED
            instances.change(conn, task.instance_uuid, vm_state=vm_state, task_state=None)

    def failed(self, conn: Connection, task: Task) -> None:
        """There, once it has arrived, though its old host would not clean up; else ERROR."""
        if "arrive" in task.results:
            self.settle(conn, task)
            if is_held(task) and _params(task).is_running and not task.abort_requested:
                self._ground.rest_in_error(conn, task, str(task.reason))
        else:
            super().failed(conn, task)


def _params(task: Task) -> MoveParams:
    return msgspec.convert(task.params, MoveParams)

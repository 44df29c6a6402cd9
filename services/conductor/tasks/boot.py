# SPDX-License-Identifier: Apache-2.0
"""Boot: from a row to a running guest."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.objects.injected_file import InjectedFile
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.request_spec import Candidate
from common.states import TaskState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import (
    Claimed,
    PlacingParams,
    claimed_by,
    why,
    zone_of_host,
)
from services.conductor.tasks.plugging import Plugging, power_state_of
from services.conductor.tasks.storage import (
    await_volumes,
    connections_of,
    forget_connections,
    with_connections,
    without_connections,
)


class BootParams(PlacingParams, frozen=True, kw_only=True):
    """What a boot needs besides the instance's row. `networks` is empty when it wants none.

    `volumes` are to be attached; `made_volumes` of them were made for it just now.
    """

    hostname: str = ""
    networks: tuple[RequestedNetwork, ...] = ()
    security_groups: tuple[str, ...] = ()
    injected_files: tuple[InjectedFile, ...] = ()
    volumes: tuple[str, ...] = ()
    made_volumes: tuple[str, ...] = ()


class Boot(Plugging):
    """Keep volumes, find a host, take room on it, make ports, and have it build the guest.

    ACTIVE   every step ran
    ERROR    no host has room; or an image or volume is no good; or a port was not plugged; or as
             many hosts failed as are tried. All is undone, the fault says why and names the hosts.
             Or an undo failed for good, or a guest that was held could not go on: the fault names
             the step and the host
    (gone)   a deletion came in between: what was done is undone, the delete task goes on
    """

    name = "boot"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.await_volumes, when=lambda task: bool(_params(task).made_volumes)),
            Call(self.reserve_volumes, undo=self.free_volumes, when=_wants_volumes),
            Call(self.choose_host, event="conductor_schedule_and_build_instances"),
            Commit(self.claim, undo=self.release),
            Call(self.make_ports, undo=self.delete_ports, when=_wants_ports),
            Call(self.connect_volumes, when=_wants_volumes),
            Commit(self.record_devices, undo=self.forget_devices),
            OnHost(self.build, undo=self.destroy, event="compute__do_build_and_run_instance"),
            Call(self.await_plugged, when=self.is_to_wait),
            PointOfNoReturn("the guest is there"),
            OnHost(self.go_on),
            Commit(self.activate),
        )

    def shown_when_claimed(self, task: Task) -> dict[str, Any]:
        """What is done next."""
        if _wants_ports(task):
            return {"task_state": TaskState.NETWORKING}
        waits = TaskState.BLOCK_DEVICE_MAPPING if _wants_volumes(task) else TaskState.SPAWNING
        return {"task_state": waits}

    def shown_when_released(self, task: Task) -> dict[str, Any]:
        """Another host is to be chosen, unless a deletion goes on from here."""
        return {} if task.abort_requested else {"task_state": TaskState.SCHEDULING}

    def _claimed(self, conn: Connection, task: Task, candidate: Candidate, failed: int) -> Claimed:
        """Without a look at the row where there are no volumes: most boots have none."""
        if _wants_volumes(task):
            return super()._claimed(conn, task, candidate, failed)
        zone = zone_of_host(conn, candidate.host)
        return Claimed(candidate=candidate, zone=zone, failed_builds=failed)

    def await_volumes(self, task: Task) -> None:
        """Wait until the volumes that were made for it are ready. Again: the same."""
        await_volumes(self._ground, _params(task).made_volumes)

    def reserve_volumes(self, task: Task) -> None:
        """Keep the volumes for this instance. Again: they are kept."""
        self._ground.volumes.reserve(task.instance_uuid, _params(task).volumes)

    def free_volumes(self, task: Task) -> None:
        """Let others have the volumes. Again: they are free."""
        if _wants_volumes(task):
            self._ground.volumes.release(task.instance_uuid, _params(task).volumes)

    def make_ports(self, task: Task) -> list[VirtualInterface]:
        """Make or bind a port for each network. Again: finds those of the first time."""
        params, claimed = _params(task), claimed_by(task)
        return list(
            self._ground.ports.plug(
                instance=task.instance_uuid,
                project_id=params.spec.project_id,
                host=claimed.candidate.host,
                zone=claimed.zone,
                requested=params.networks,
                security_groups=params.security_groups,
                hostname=params.hostname,
            )
        )

    def delete_ports(self, task: Task) -> None:
        """Delete the ports that were made, unbind the others. Again: what is gone is fine."""
        if _wants_ports(task):
            self._ground.ports.unplug(task.instance_uuid)

    def record_devices(self, conn: Connection, task: Task) -> None:
        """Write interfaces and volumes down, so that guest and host learn of them.

        Again: cannot be, its commit is also its record.
        """
        changes: dict[str, Any] = {}
        if _wants_ports(task):
            vifs = task.result("make_ports", tuple[VirtualInterface, ...])
            changes["vifs"] = vifs
            if vifs and not any(vif.security_groups for vif in vifs):
                # networks without port security give none, whatever was asked for
                changes["security_groups"] = ()
        if _wants_volumes(task):
            connections = connections_of(task, "connect_volumes")
            changes["block_devices"] = with_connections(
                self._ground.instance(conn, task), connections
            )
            forget_connections(task, "connect_volumes")
        if changes:
            instances.change(conn, task.instance_uuid, task_state=TaskState.SPAWNING, **changes)

    def forget_devices(self, conn: Connection, task: Task) -> None:
        """The interfaces are gone, no volume is connected. Again: they still are."""
        changes: dict[str, Any] = {}
        if _wants_ports(task):
            changes["vifs"] = ()
        if _wants_volumes(task):
            changes["block_devices"] = without_connections(self._ground.instance(conn, task))
        if changes:
            instances.change(conn, task.instance_uuid, **changes)

    def build(self, conn: Connection, task: Task) -> HostStep:
        """Have the host make disks and domain and start the guest, held where it has to wait.

        Again: under one id the host builds once; a new attempt has a new id.
        """
        instance = msgspec.structs.replace(
            self._ground.instance(conn, task),
            admin_password=task.secret,
            injected_files=_params(task).injected_files,
        )
        return self.order_build(conn, task, instance)

    def activate(self, conn: Connection, task: Task) -> None:
        """Show the instance as running. Again: cannot be, its commit is also its record."""
        self.praise(conn, task)
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=VmState.ACTIVE,
            task_state=None,
            power_state=power_state_of(task),
            progress=100,
            launched_at=self._ground.clock.now(),
        )

    # --- when a step fails ---

    def undone(self, conn: Connection, task: Task) -> None:
        """ERROR with the reason, unless a deletion goes on from here."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, why(task))

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR with what could not be undone."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, f"{why(task)} {task.reason}")


def _params(task: Task) -> BootParams:
    return msgspec.convert(task.params, BootParams)


def _wants_ports(task: Task) -> bool:
    return bool(task.params.get("networks"))


def _wants_volumes(task: Task) -> bool:
    return bool(task.params.get("volumes"))

# SPDX-License-Identifier: Apache-2.0
"""Boot: from a row to a running guest."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.objects.injected_file import InjectedFile
from common.objects.network import RequestedNetwork, VirtualInterface
from common.states import PowerState, TaskState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import Placing, PlacingParams, claimed_by, why


class BootParams(PlacingParams, frozen=True, kw_only=True):
    """What a boot needs besides the instance's row. `networks` is empty when it wants none."""

    networks: tuple[RequestedNetwork, ...] = ()
    security_groups: tuple[str, ...] = ()
    injected_files: tuple[InjectedFile, ...] = ()


class Boot(Placing):
    """Find a host, take room on it, make ports, and have it build the guest.

    ACTIVE   every step ran
    ERROR    no host has room; or the image is no good; or as many hosts failed as are tried. All
             is undone, the fault says why and names the hosts. Or an undo failed for good: the
             fault names the step and the host
    (gone)   a deletion came in between: what was done is undone, the delete task goes on
    """

    name = "boot"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.choose_host, event="conductor_schedule_and_build_instances"),
            Commit(self.claim, undo=self.release),
            Call(self.make_ports, undo=self.delete_ports, when=_wants_ports),
            Commit(self.record_ports, undo=self.forget_ports),
            OnHost(self.build, undo=self.destroy, event="compute__do_build_and_run_instance"),
            Commit(self.activate),
        )

    def shown_when_claimed(self, task: Task) -> dict[str, Any]:
        """What is done next."""
        waits_for_ports = bool(_params(task).networks)
        return {"task_state": TaskState.NETWORKING if waits_for_ports else TaskState.SPAWNING}

    def shown_when_released(self, task: Task) -> dict[str, Any]:
        """Another host is to be chosen, unless a deletion goes on from here."""
        return {} if task.abort_requested else {"task_state": TaskState.SCHEDULING}

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
            )
        )

    def delete_ports(self, task: Task) -> None:
        """Delete the ports that were made, unbind the others. Again: what is gone is fine."""
        if _wants_ports(task):
            self._ground.ports.unplug(task.instance_uuid)

    def record_ports(self, conn: Connection, task: Task) -> None:
        """Write the interfaces down, so that guest and host learn of them.

        Again: cannot be, its commit is also its record.
        """
        if _wants_ports(task):
            vifs = task.result("make_ports", tuple[VirtualInterface, ...])
            instances.change(conn, task.instance_uuid, vifs=vifs, task_state=TaskState.SPAWNING)

    def forget_ports(self, conn: Connection, task: Task) -> None:
        """The interfaces are gone. Again: they still are."""
        if _wants_ports(task):
            instances.change(conn, task.instance_uuid, vifs=())

    def build(self, conn: Connection, task: Task) -> HostStep:
        """Have the host make disks and domain and start the guest.

        Again: under one id the host builds once; a new attempt has a new id.
        """
        instance = msgspec.structs.replace(
            self._ground.instance(conn, task),
            admin_password=task.secret,
            injected_files=_params(task).injected_files,
        )
        return self._ground.order(
            conn,
            "build",
            instance,
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.build_timeout_s,
        )

    def activate(self, conn: Connection, task: Task) -> None:
        """Show the instance as running. Again: cannot be, its commit is also its record."""
        self.praise(conn, task)
        built = task.results.get("build") or {}
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=VmState.ACTIVE,
            task_state=None,
            power_state=built.get("power_state", PowerState.RUNNING),
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

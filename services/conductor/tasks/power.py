# SPDX-License-Identifier: Apache-2.0
"""What is done to a guest's power: one operation of the host, then the state that it leads to."""

from typing import Any

from sqlalchemy.engine import Connection

from common.errors import InstanceNotReady
from common.objects.instance import Instance
from common.states import PowerState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Commit, Flow, HostStep, OnHost
from services.conductor.tasks.ground import Ground


class PowerFlow(Flow):
    """One operation on a guest that is there.

    as asked       the host did it
    state before   the host refused, is down or took too long: the action's message says why
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def _order(
        self,
        conn: Connection,
        task: Task,
        method: str,
        *,
        more_s: float = 0,
        owable: bool = False,
        **arguments: Any,
    ) -> HostStep:
        instance: Instance = self._ground.instance(conn, task)
        deadline_s = self._ground.limits.operation_timeout_s + more_s
        return self._ground.order(
            conn,
            method,
            instance,
            host=self._host(instance),
            deadline_s=deadline_s,
            owable=owable,
            **arguments,
        )

    def _host(self, instance: Instance) -> str:
        if instance.host is None:
            raise InstanceNotReady(instance=instance.uuid)
        return instance.host

    def _rest(
        self, conn: Connection, task: Task, step: str, vm_state: VmState, default: PowerState
    ) -> None:
        reported = task.results.get(step) or {}
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=vm_state,
            task_state=None,
            power_state=reported.get("power_state", default),
        )

    def undone(self, conn: Connection, task: Task) -> None:
        """The state before, unless a deletion goes on from here."""
        if not task.abort_requested:
            instances.change(conn, task.instance_uuid, task_state=None)

    def failed(self, conn: Connection, task: Task) -> None:
        """As `undone`, unless a flow knows worse: the action's message says what is left where."""
        self.undone(conn, task)


class Start(PowerFlow):
    """Power a stopped instance on: ACTIVE, or SHUTOFF as before with the reason in its action."""

    name = "start"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.power_on, event="compute_start_instance"),
            Commit(self.record),
        )

    def power_on(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest. Again: a running guest is left alone."""
        return self._order(conn, task, "power_on")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "power_on", VmState.ACTIVE, PowerState.RUNNING)


class Stop(PowerFlow):
    """Power an instance off: SHUTOFF, or the state before with the reason in its action."""

    name = "stop"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.power_off, event="compute_stop_instance"),
            Commit(self.record),
        )

    def power_off(self, conn: Connection, task: Task) -> HostStep:
        """Have the host stop the guest, cleanly if it follows. Again: a stopped one stays so."""
        grace_s = self._ground.grace_s(self._ground.instance(conn, task))
        return self._order(conn, task, "power_off", more_s=grace_s, grace_s=grace_s)

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as stopped. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "power_off", VmState.STOPPED, PowerState.SHUTDOWN)


class Reboot(PowerFlow):
    """Restart an instance: ACTIVE, or the state before with the reason in its action."""

    name = "reboot"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.reboot, event="compute_reboot_instance"),
            Commit(self.record),
        )

    def reboot(self, conn: Connection, task: Task) -> HostStep:
        """Have the host restart the guest. Again: under one id it restarts once."""
        more_s = self._ground.limits.power_off_grace_s
        return self._order(conn, task, "reboot", more_s=more_s, hard=bool(task.params.get("hard")))

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "reboot", VmState.ACTIVE, PowerState.RUNNING)


class Pause(PowerFlow):
    """Stop an instance's CPUs: PAUSED, or ACTIVE as before with the reason in its action."""

    name = "pause"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.pause, event="compute_pause_instance"),
            Commit(self.record),
        )

    def pause(self, conn: Connection, task: Task) -> HostStep:
        """Have the host stop the CPUs. Again: they stay stopped."""
        return self._order(conn, task, "pause")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as paused. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "pause", VmState.PAUSED, PowerState.PAUSED)


class Unpause(PowerFlow):
    """Let a paused instance go on: ACTIVE, or PAUSED as before with the reason in its action."""

    name = "unpause"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.unpause, event="compute_unpause_instance"),
            Commit(self.record),
        )

    def unpause(self, conn: Connection, task: Task) -> HostStep:
        """Have the host let the CPUs go on. Again: they do."""
        return self._order(conn, task, "unpause")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "unpause", VmState.ACTIVE, PowerState.RUNNING)


class Suspend(PowerFlow):
    """Save an instance's memory: SUSPENDED, or ACTIVE as before with the reason in its action."""

    name = "suspend"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.suspend, event="compute_suspend_instance"),
            Commit(self.record),
        )

    def suspend(self, conn: Connection, task: Task) -> HostStep:
        """Have the host save the memory and stop the guest. Again: it stays saved."""
        return self._order(conn, task, "suspend")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as suspended. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "suspend", VmState.SUSPENDED, PowerState.SUSPENDED)


class Resume(PowerFlow):
    """Let a suspended instance go on: ACTIVE, or SUSPENDED with the reason in its action."""

    name = "resume"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.resume, event="compute_resume_instance"),
            Commit(self.record),
        )

    def resume(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest from its memory. Again: a running guest goes on."""
        return self._order(conn, task, "resume")

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self._rest(conn, task, "resume", VmState.ACTIVE, PowerState.RUNNING)


class Revive(PowerFlow):
    """Have an instance run again whose guest went down with its host.

    as before   it runs
    ERROR       the host could not start it: the fault says why
    """

    name = "revive"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.revive, event="compute_start_instance"),
            Commit(self.record),
        )

    def revive(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest, with all others of the host. Again: it goes on."""
        return self._order(conn, task, "revive", more_s=self._ground.limits.build_timeout_s)

    def record(self, conn: Connection, task: Task) -> None:
        """Show what it is now. Again: cannot be, its commit is also its record."""
        reported = task.results.get("revive") or {}
        instances.change(
            conn,
            task.instance_uuid,
            task_state=None,
            power_state=reported.get("power_state", PowerState.RUNNING),
        )

    def undone(self, conn: Connection, task: Task) -> None:
        """It does not run, though it should; a deletion goes on from here."""
        if not task.abort_requested:
            message = f"The guest does not run since its host has booted: {task.reason}"
            self._ground.rest_in_error(conn, task, message)

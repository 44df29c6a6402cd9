# SPDX-License-Identifier: Apache-2.0
"""Boot: from a row to a running guest."""

import msgspec
from sqlalchemy import Text, bindparam, select
from sqlalchemy.engine import Connection

from common.errors import HostFull, ImageNotFound, ImageUnacceptable, KilonovaError, NoValidHost
from common.objects.injected_file import InjectedFile
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.request_spec import Candidate, RequestSpec, Selection
from common.objects.versioned import Versioned
from common.states import PowerState, TaskState, VmState
from services.conductor import claims
from services.conductor.db import instances
from services.conductor.db.aggregates import zone_of
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, Flow, HostStep, OnHost
from services.conductor.tasks.ground import Ground

_ZONE = select(zone_of(bindparam("host", type_=Text)))
# A claim lost to others says nothing about a host: choose again, but not for ever.
_LOST_CLAIMS = 20


class BootParams(Versioned, frozen=True, kw_only=True):
    """What a boot needs besides the instance's row. `networks` is empty when it wants none."""

    spec: RequestSpec
    networks: tuple[RequestedNetwork, ...] = ()
    security_groups: tuple[str, ...] = ()
    injected_files: tuple[InjectedFile, ...] = ()


class Claimed(Versioned, frozen=True, kw_only=True):
    """The host that a boot has claimed."""

    candidate: Candidate
    zone: str
    failed_builds: int = 0


class Tried(Versioned, frozen=True, kw_only=True):
    """A host that failed to build the instance, and why."""

    host: str
    reason: str


class Boot(Flow):
    """Find a host, take room on it, make ports, and have it build the guest.

    ACTIVE   every step ran
    ERROR    no host has room; or the image is no good; or as many hosts failed as are tried. All
             is undone, the fault says why and names the hosts. Or an undo failed for good: the
             fault names the step and the host
    (gone)   a deletion came in between: what was done is undone, the delete task goes on
    """

    name = "boot"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.steps = (
            Call(self.choose_host, event="conductor_schedule_and_build_instances"),
            Commit(self.claim, undo=self.release),
            Call(self.make_ports, undo=self.delete_ports, when=_wants_ports),
            Commit(self.record_ports, undo=self.forget_ports),
            OnHost(self.build, undo=self.destroy, event="compute__do_build_and_run_instance"),
            Commit(self.activate),
        )

    def choose_host(self, task: Task) -> Selection:
        """Ask the scheduler for a host and alternates. Again: it may choose others."""
        excluded = tuple(tried.host for tried in _tried(task))
        spec = msgspec.structs.replace(_params(task).spec, excluded_hosts=excluded)
        selection = self._ground.scheduler.select(task.context, spec)
        if not selection.candidates or not selection.candidates[0]:
            raise NoValidHost(reason=selection.reason)
        return selection

    def claim(self, conn: Connection, task: Task) -> Claimed:
        """Take room on the first of the chosen hosts that still has it.

        Again: cannot be, its commit is also its record.
        """
        need = _params(task).spec.need
        candidates = task.result("choose_host", Selection).candidates[0]
        for candidate in candidates:
            taken = claims.take(conn, task.instance_uuid, candidate, need)
            if taken is not None:
                break
        else:
            raise HostFull(host=", ".join(c.host for c in candidates))
        zone: str = conn.execute(_ZONE, {"host": candidate.host}).scalar_one()
        waits_for_ports = bool(_params(task).networks)
        instances.change(
            conn,
            task.instance_uuid,
            host=candidate.host,
            node=candidate.node,
            launched_on=candidate.host,
            availability_zone=zone,
            task_state=TaskState.NETWORKING if waits_for_ports else TaskState.SPAWNING,
        )
        task.after(lambda: self._ground.hosts_changed([candidate.host_uuid]))
        return Claimed(candidate=candidate, zone=zone, failed_builds=taken.failed_builds)

    def release(self, conn: Connection, task: Task) -> None:
        """Give the room back and leave the host. Again: nothing is left to give."""
        freed = claims.release(
            conn, task.instance_uuid, build_failed=bool(task.results.get("host_failed"))
        )
        leaves = {"host": None, "node": None, "launched_on": None, "availability_zone": None}
        state = {} if task.abort_requested else {"task_state": TaskState.SCHEDULING}
        instances.change(conn, task.instance_uuid, **leaves, **state)
        task.after(lambda: self._ground.hosts_changed(freed))

    def make_ports(self, task: Task) -> list[VirtualInterface]:
        """Make or bind a port for each network. Again: finds those of the first time."""
        params, claimed = _params(task), task.result("claim", Claimed)
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
            host=task.result("claim", Claimed).candidate.host,
            deadline_s=self._ground.limits.build_timeout_s,
        )

    def destroy(self, conn: Connection, task: Task) -> HostStep:
        """Have the host remove what there may be of the guest. Again: nothing to remove is fine."""
        return self._ground.order(
            conn,
            "destroy",
            self._ground.instance(conn, task),
            host=task.result("claim", Claimed).candidate.host,
            deadline_s=self._ground.limits.operation_timeout_s,
            owable=True,
        )

    def activate(self, conn: Connection, task: Task) -> None:
        """Show the instance as running. Again: cannot be, its commit is also its record."""
        claimed = task.result("claim", Claimed)
        if claimed.failed_builds:
            claims.forget_failures(conn, claimed.candidate.host_uuid)
            task.after(lambda: self._ground.hosts_changed([claimed.candidate.host_uuid]))
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

    def rewind(self, task: Task, step: str, error: KilonovaError) -> str | None:
        """Another host may do what one could not; a bad image is bad everywhere."""
        if step == "claim" and isinstance(error, HostFull):
            lost = task.results["lost_claims"] = task.results.get("lost_claims", 0) + 1
            return "choose_host" if lost <= _LOST_CLAIMS else None
        if step != "build":
            return None
        tried = Tried(host=task.result("claim", Claimed).candidate.host, reason=str(error))
        task.results["tried"] = [*task.results.get("tried", ()), msgspec.to_builtins(tried)]
        task.results["host_failed"] = not isinstance(error, ImageUnacceptable | ImageNotFound)
        if not task.results["host_failed"]:
            return None
        return "choose_host" if len(_tried(task)) < self._ground.limits.build_attempts else None

    def undone(self, conn: Connection, task: Task) -> None:
        """ERROR with the reason, unless a deletion goes on from here."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, _why(task))

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR with what could not be undone."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, f"{_why(task)} {task.reason}")


def _params(task: Task) -> BootParams:
    return msgspec.convert(task.params, BootParams)


def _tried(task: Task) -> list[Tried]:
    return msgspec.convert(task.results.get("tried", []), list[Tried])


def _wants_ports(task: Task) -> bool:
    return bool(task.params.get("networks"))


def _why(task: Task) -> str:
    """The last error, and the hosts that were tried when they are more than one."""
    reason = str(task.results.get("error", {}).get("message") or task.reason)
    tried = _tried(task)
    if not tried:
        return reason
    if len(tried) == 1 and tried[0].reason == reason:
        return f"{reason} (on {tried[0].host})"
    return f"{reason} Tried: " + "; ".join(f"{one.host}: {one.reason}" for one in tried)

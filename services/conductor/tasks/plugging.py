# SPDX-License-Identifier: Apache-2.0
"""Plugging: a new guest is held until the network service has plugged its ports.

A network service whose agents work after the binding shows a port DOWN until they are done, which
takes the guest's device, so the guest is started with its CPUs stopped. The service tells of it by
the event `network-vif-plugged`; the ports' status is looked at as well, for an event may be lost,
and none comes for a port that was plugged all the time.
"""

import logging
from typing import Any

from sqlalchemy.engine import Connection

from common.errors import NotYet, Unavailable, VirtualInterfaceFailed
from common.objects.instance import Instance
from common.states import PowerState
from services.conductor.db import journal_signals
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import HostStep
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import Placing, claimed_by

LOG = logging.getLogger(__name__)

AWAIT_PLUGGED = "await_plugged"
_FAILED, _COMPLETED = "failed", "completed"
_BINDS = ("make_ports", "bind_ports")  # the steps that say what ports there are


class Plugging(Placing):
    """Placing flows whose guest waits for its ports: behind `build` comes the step `await_plugged`,
    and `go_on` behind the point of no return.
    """

    def order_build(self, conn: Connection, task: Task, instance: Instance) -> HostStep:
        """Have the claimed host make disks and guest; held, where there is something to wait for.

        What was told of ports while another host had them says nothing of this one.
        """
        if task.rewinds:
            journal_signals.forget_signals(conn, task.uuid)
        held: dict[str, Any] = {"paused": True} if self.is_to_wait(task) else {}
        return self._ground.order(
            conn, "build", instance, host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.build_timeout_s, **held,
        )  # fmt: skip

    def is_to_wait(self, task: Task) -> bool:
        """Whether a port was not plugged yet when it was bound."""
        return self._ground.limits.plugging_timeout_s > 0 and bool(_unplugged(task))

    def await_plugged(self, task: Task) -> None:
        """Wait until every port is plugged, by event or status. Again: the same.

        Raises: NotYet, VirtualInterfaceFailed.
        """
        missing = _unplugged(task) - {p for p, said in task.signals.items() if said == _COMPLETED}
        failed = {port for port in missing if task.signals.get(port) == _FAILED}
        if missing and not failed:
            missing -= _plugged(self._ground, task)
        if not missing:
            return
        limits = self._ground.limits
        if failed:
            reason = f"the network service could not plug port {_listed(failed)}"
        elif self._waited_s(task) >= limits.plugging_timeout_s:
            reason = (
                f"the network service has not plugged port {_listed(missing)} in "
                f"{limits.plugging_timeout_s:g} s"
            )
        else:
            raise NotYet(what=f"Port {_listed(missing)}")
        if limits.plugging_is_fatal:
            raise VirtualInterfaceFailed(reason=reason)
        LOG.warning("The guest goes on all the same: %s", reason)

    def go_on(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host let a guest go on that it holds. Again: it does."""
        if not is_held(task):
            return None
        return self._ground.order(
            conn, "unpause", self._ground.instance(conn, task),
            host=claimed_by(task).candidate.host,
            deadline_s=self._ground.limits.operation_timeout_s,
        )  # fmt: skip

    def _waited_s(self, task: Task) -> float:
        now = self._ground.clock.now()
        return (now - (task.step_started_at or now)).total_seconds()


def is_held(task: Task) -> bool:
    """Whether the host holds the guest, as far as it has reported."""
    built = task.results.get("build") or {}
    return "go_on" not in task.results and built.get("power_state") == PowerState.PAUSED


def power_state_of(task: Task) -> int:
    """What the guest came to, as its host has reported."""
    reported = task.results.get("go_on") or task.results.get("build") or {}
    return int(reported.get("power_state", PowerState.RUNNING))


def _unplugged(task: Task) -> set[str]:
    """Ports that were not plugged when they were bound."""
    bound = next((task.results[step] for step in _BINDS if task.results.get(step)), ())
    return {vif["port_id"] for vif in bound if not vif.get("active", True)}


def _plugged(ground: Ground, task: Task) -> set[str]:
    """Ports that the network service shows as plugged; it says so later where it is away."""
    try:
        return set(ground.ports.active_ports(task.instance_uuid))
    except Unavailable as away:
        LOG.warning("Whether ports are plugged is not known: %s", away)
        return set()


def _listed(ports: set[str]) -> str:
    return ", ".join(sorted(ports))

# SPDX-License-Identifier: Apache-2.0
"""Accepting start, stop and reboot."""

from common.context import RequestContext
from common.states import TaskState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.tasks.power import Reboot, Start, Stop

_START = Operation("start", Start.name, TaskState.POWERING_ON)
_STOP = Operation("stop", Stop.name, TaskState.POWERING_OFF)
_REBOOT = Operation("reboot", Reboot.name, TaskState.REBOOTING)
_REBOOT_HARD = Operation("reboot_hard", Reboot.name, TaskState.REBOOTING_HARD)


class AcceptPower:
    """Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def start(self, ctx: RequestContext, instance: str) -> None:
        """Insert a start task."""
        self._admission.admit(ctx, instance, _START)

    def stop(self, ctx: RequestContext, instance: str) -> None:
        """Insert a stop task."""
        self._admission.admit(ctx, instance, _STOP)

    def reboot(self, ctx: RequestContext, instance: str, *, hard: bool) -> None:
        """Insert a reboot task; a hard one takes the place of a soft one that is under way."""
        self._admission.admit(
            ctx,
            instance,
            _REBOOT_HARD if hard else _REBOOT,
            prepare=lambda conn, found: {"hard": hard},
        )

# SPDX-License-Identifier: Apache-2.0
"""Accepting what is done to a guest's power."""

from common.context import RequestContext
from common.states import TaskState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.tasks.guest import TriggerCrashDump
from services.conductor.tasks.power import Pause, Reboot, Resume, Start, Stop, Suspend, Unpause

_START = Operation("start", Start.name, TaskState.POWERING_ON)
_STOP = Operation("stop", Stop.name, TaskState.POWERING_OFF)
_REBOOT = Operation("reboot", Reboot.name, TaskState.REBOOTING)
_REBOOT_HARD = Operation("reboot_hard", Reboot.name, TaskState.REBOOTING_HARD)

_PAUSE = Operation("pause", Pause.name, TaskState.PAUSING)
_UNPAUSE = Operation("unpause", Unpause.name, TaskState.UNPAUSING)
_SUSPEND = Operation("suspend", Suspend.name, TaskState.SUSPENDING)
_RESUME = Operation("resume", Resume.name, TaskState.RESUMING)
_TRIGGER_CRASH_DUMP = Operation("trigger_crash_dump", TriggerCrashDump.name, None)


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

    def pause(self, ctx: RequestContext, instance: str) -> None:
        """Insert a pause task."""
        self._admission.admit(ctx, instance, _PAUSE)

    def unpause(self, ctx: RequestContext, instance: str) -> None:
        """Insert an unpause task."""
        self._admission.admit(ctx, instance, _UNPAUSE)

    def suspend(self, ctx: RequestContext, instance: str) -> None:
        """Insert a suspend task."""
        self._admission.admit(ctx, instance, _SUSPEND)

    def resume(self, ctx: RequestContext, instance: str) -> None:
        """Insert a resume task."""
        self._admission.admit(ctx, instance, _RESUME)

    def trigger_crash_dump(self, ctx: RequestContext, instance: str) -> None:
        """Insert a task that interrupts the guest."""
        self._admission.admit(ctx, instance, _TRIGGER_CRASH_DUMP)

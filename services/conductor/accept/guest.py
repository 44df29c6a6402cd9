# SPDX-License-Identifier: Apache-2.0
"""Accepting what is done to the software inside a guest."""

from common.context import RequestContext
from common.states import TaskState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.checks import check
from services.conductor.tasks.guest import ChangePassword

_CHANGE_PASSWORD = Operation(
    "change_password", ChangePassword.name, TaskState.UPDATING_PASSWORD, action="changePassword"
)


class AcceptGuest:
    """Each raises: InstanceNotFound, InstanceLocked."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def change_password(self, ctx: RequestContext, instance: str, password: str) -> None:
        """Insert a task; the password is its secret. Raises: InstanceInvalidState, …NotReady."""
        self._admission.admit(ctx, instance, _CHANGE_PASSWORD, secret=password)

    def inject_network_info(self, ctx: RequestContext, instance: str) -> None:
        """Check only: there is nothing that would have to be injected."""
        with self._admission.begin() as conn:
            check(ctx, self._admission.find(conn, ctx, instance), "inject_network_info")

# SPDX-License-Identifier: Apache-2.0
"""The `guest` interface."""

import msgspec

from common.clock import Clock
from common.context import RequestContext
from common.errors import InstanceNotReady
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.instance import Instance
from common.rpc.compute import Compute
from common.rpc.conductor.guest import Guest
from common.states import PowerState
from services.conductor.accept.admission import Admission
from services.conductor.accept.guest import AcceptGuest
from services.conductor.computes import Computes
from services.conductor.db import instances


class GuestEndpoint(Guest):
    """Hands operations to their acceptance, and questions to the instance's host."""

    def __init__(
        self, accept: AcceptGuest, admission: Admission, computes: Computes, clock: Clock
    ) -> None:
        self._accept = accept
        self._admission = admission
        self._computes = computes
        self._clock = clock

    def change_password(self, ctx: RequestContext, instance: str, *, password: str) -> None:
        self._accept.change_password(ctx, instance, password)

    def inject_network_info(self, ctx: RequestContext, instance: str) -> None:
        self._accept.inject_network_info(ctx, instance)

    def posted_password(self, ctx: RequestContext, instance: str) -> str | None:
        """What the guest posted."""
        with self._admission.begin() as conn:
            self._admission.find(conn, ctx, instance)
            return instances.guest_password(conn, instance)

    def forget_password(self, ctx: RequestContext, instance: str) -> None:
        """Forget what the guest posted."""
        with self._admission.begin() as conn:
            self._admission.find(conn, ctx, instance)
            instances.forget_guest_password(conn, instance)

    def place(self, ctx: RequestContext, instance: str) -> GuestPlace:
        """What the instance's host says."""
        found, host, compute = self._on_host(ctx, instance)
        return compute.place(ctx, host, found.uuid)

    def _on_host(self, ctx: RequestContext, instance: str) -> tuple[Instance, str, Compute]:
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            if found.host is None:
                raise InstanceNotReady(instance=instance)
            return found, found.host, self._computes.on(conn, found.host)

    def diagnostics(self, ctx: RequestContext, instance: str) -> Diagnostics:
        """What the instance's host counts, with what only we know."""
        found, host, compute = self._on_host(ctx, instance)
        counted = compute.diagnostics(ctx, host, instance)
        uptime_s = None
        if counted.state is PowerState.RUNNING and found.launched_at is not None:
            uptime_s = int((self._clock.now() - found.launched_at).total_seconds())
        return msgspec.structs.replace(
            counted, config_drive=bool(found.config_drive), uptime_s=uptime_s
        )

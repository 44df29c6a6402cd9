# SPDX-License-Identifier: Apache-2.0
"""The `power` interface."""

from common.context import RequestContext
from common.rpc.conductor.power import Power
from services.conductor.accept.power import AcceptPower


class PowerEndpoint(Power):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptPower) -> None:
        self._accept = accept

    def start(self, ctx: RequestContext, instance: str) -> None:
        self._accept.start(ctx, instance)

    def stop(self, ctx: RequestContext, instance: str) -> None:
        self._accept.stop(ctx, instance)

    def reboot(self, ctx: RequestContext, instance: str, *, hard: bool) -> None:
        self._accept.reboot(ctx, instance, hard=hard)

    def pause(self, ctx: RequestContext, instance: str) -> None:
        self._accept.pause(ctx, instance)

    def unpause(self, ctx: RequestContext, instance: str) -> None:
        self._accept.unpause(ctx, instance)

    def suspend(self, ctx: RequestContext, instance: str) -> None:
        self._accept.suspend(ctx, instance)

    def resume(self, ctx: RequestContext, instance: str) -> None:
        self._accept.resume(ctx, instance)

    def trigger_crash_dump(self, ctx: RequestContext, instance: str) -> None:
        self._accept.trigger_crash_dump(ctx, instance)

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

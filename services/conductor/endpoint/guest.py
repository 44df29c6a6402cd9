# SPDX-License-Identifier: Apache-2.0
"""The `guest` interface."""

from common.context import RequestContext
from common.rpc.conductor.guest import Guest
from services.conductor.accept.guest import AcceptGuest


class GuestEndpoint(Guest):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptGuest) -> None:
        self._accept = accept

    def change_password(self, ctx: RequestContext, instance: str, *, password: str) -> None:
        self._accept.change_password(ctx, instance, password)

    def inject_network_info(self, ctx: RequestContext, instance: str) -> None:
        self._accept.inject_network_info(ctx, instance)

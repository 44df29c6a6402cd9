# SPDX-License-Identifier: Apache-2.0
"""The `interfaces` interface."""

from common.context import RequestContext
from common.objects.network import RequestedNetwork
from common.rpc.conductor.interfaces import Interfaces
from services.conductor.accept.interfaces import AcceptInterfaces


class InterfacesEndpoint(Interfaces):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptInterfaces) -> None:
        self._accept = accept

    def refresh(self, ctx: RequestContext, instance: str) -> None:
        self._accept.refresh(ctx, instance)

    def attach(self, ctx: RequestContext, instance: str, *, wanted: RequestedNetwork) -> str:
        return self._accept.attach(ctx, instance, wanted)

    def attached(self, ctx: RequestContext, instance: str, *, task: str) -> str | None:
        return self._accept.attached(ctx, instance, task)

    def detach(self, ctx: RequestContext, instance: str, *, port_id: str) -> None:
        self._accept.detach(ctx, instance, port_id)

    def add_fixed_ip(self, ctx: RequestContext, instance: str, *, network_id: str) -> None:
        self._accept.add_fixed_ip(ctx, instance, network_id)

    def remove_fixed_ip(self, ctx: RequestContext, instance: str, *, address: str) -> None:
        self._accept.remove_fixed_ip(ctx, instance, address)

# SPDX-License-Identifier: Apache-2.0
"""The `interfaces` interface."""

from common.context import RequestContext
from common.rpc.conductor.interfaces import Interfaces
from services.conductor.accept.interfaces import AcceptInterfaces


class InterfacesEndpoint(Interfaces):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptInterfaces) -> None:
        self._accept = accept

    def refresh(self, ctx: RequestContext, instance: str) -> None:
        self._accept.refresh(ctx, instance)

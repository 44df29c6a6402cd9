# SPDX-License-Identifier: Apache-2.0
"""The `shelving` interface."""

from common.context import RequestContext
from common.objects.unshelving import Unshelving
from common.rpc.conductor.shelving import Shelving
from services.conductor.accept.shelving import AcceptShelving


class ShelvingEndpoint(Shelving):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptShelving) -> None:
        self._accept = accept

    def shelve(self, ctx: RequestContext, instance: str, *, image_id: str | None) -> None:
        self._accept.shelve(ctx, instance, image_id)

    def shelve_offload(self, ctx: RequestContext, instance: str) -> None:
        self._accept.shelve_offload(ctx, instance)

    def unshelve(self, ctx: RequestContext, instance: str, *, to: Unshelving | None = None) -> None:
        self._accept.unshelve(ctx, instance, to)

# SPDX-License-Identifier: Apache-2.0
"""The `repair` interface."""

from common.context import RequestContext
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.rebuild import NewContent
from common.rpc.conductor.repair import Repair
from common.rpc.conductor.servers import Servers
from services.conductor.accept.repair import AcceptRepair


class RepairEndpoint(Repair):
    """Hands operations to their acceptance; `servers` shows what became of an instance."""

    def __init__(self, accept: AcceptRepair, servers: Servers) -> None:
        self._accept = accept
        self._servers = servers

    def rescue(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        password: str,
        image: ImageMeta | None = None,
        volume_backed: bool = False,
    ) -> None:
        self._accept.rescue(ctx, instance, password, image, volume_backed=volume_backed)

    def unrescue(self, ctx: RequestContext, instance: str) -> None:
        self._accept.unrescue(ctx, instance)

    def rebuild(self, ctx: RequestContext, instance: str, *, content: NewContent) -> Instance:
        self._accept.rebuild(ctx, instance, content)
        return self._servers.get(ctx, instance)

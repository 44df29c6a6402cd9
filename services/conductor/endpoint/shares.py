# SPDX-License-Identifier: Apache-2.0
"""The `shares` interface."""

from common.context import RequestContext
from common.objects.share import Share
from common.objects.share_mapping import ShareMapping
from common.rpc.conductor.shares import Shares
from services.conductor.accept.shares import AcceptShares


class SharesEndpoint(Shares):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptShares) -> None:
        self._accept = accept

    def attach(
        self, ctx: RequestContext, instance: str, *, share: Share, tag: str | None = None
    ) -> ShareMapping:
        return self._accept.attach(ctx, instance, share, tag)

    def detach(self, ctx: RequestContext, instance: str, *, share_id: str) -> None:
        self._accept.detach(ctx, instance, share_id)

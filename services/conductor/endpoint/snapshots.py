# SPDX-License-Identifier: Apache-2.0
"""The `snapshots` interface."""

from common.context import RequestContext
from common.objects.instance import Instance
from common.rpc.conductor.snapshots import Snapshots
from services.conductor.accept.snapshots import AcceptSnapshots


class SnapshotsEndpoint(Snapshots):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptSnapshots) -> None:
        self._accept = accept

    def check(
        self, ctx: RequestContext, instance: str, *, operation: str, metadata_items: int = 0
    ) -> Instance:
        return self._accept.check(ctx, instance, operation, metadata_items)

    def create_image(self, ctx: RequestContext, instance: str, *, image_id: str) -> None:
        self._accept.create_image(ctx, instance, image_id)

    def create_backup(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        image_id: str,
        backup_type: str,
        rotation: int,
    ) -> None:
        self._accept.create_backup(ctx, instance, image_id, backup_type, rotation)

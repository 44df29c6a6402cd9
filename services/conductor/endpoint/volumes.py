# SPDX-License-Identifier: Apache-2.0
"""The `volumes` interface."""

from typing import Any

from common.context import RequestContext
from common.objects.volume import RequestedVolume
from common.rpc.conductor.volumes import Volumes
from services.conductor.accept.volumes import AcceptVolumes


class VolumesEndpoint(Volumes):
    """Hands operations to their acceptance."""

    def __init__(self, accept: AcceptVolumes) -> None:
        self._accept = accept

    def attach(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        wanted: RequestedVolume,
        shelved_too: bool = True,
    ) -> str:
        return self._accept.attach(ctx, instance, wanted, shelved_too=shelved_too)

    def attached(self, ctx: RequestContext, instance: str, *, task: str) -> str | None:
        return self._accept.attached(ctx, instance, task)

    def detach(
        self, ctx: RequestContext, instance: str, *, volume_id: str, shelved_too: bool = True
    ) -> str:
        return self._accept.detach(ctx, instance, volume_id, shelved_too=shelved_too)

    def detaching(self, ctx: RequestContext, instance: str, *, task: str) -> bool:
        return self._accept.detaching(ctx, instance, task)

    def swap(
        self, ctx: RequestContext, instance: str, *, volume_id: str, wanted: RequestedVolume
    ) -> None:
        self._accept.swap(ctx, instance, volume_id, wanted)

    def update(
        self, ctx: RequestContext, instance: str, *, volume_id: str, delete_on_termination: bool
    ) -> None:
        self._accept.update(ctx, instance, volume_id, delete_on_termination=delete_on_termination)

    def snapshot_assisted(
        self, ctx: RequestContext, *, volume_id: str, snapshot_id: str, new_file: str
    ) -> None:
        self._accept.snapshot(ctx, volume_id, snapshot_id=snapshot_id, new_file=new_file)

    def drop_assisted_snapshot(
        self, ctx: RequestContext, *, volume_id: str, snapshot_id: str, delete_info: dict[str, Any]
    ) -> None:
        self._accept.merge_snapshot(
            ctx, volume_id, snapshot_id=snapshot_id, delete_info=delete_info
        )

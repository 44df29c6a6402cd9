# SPDX-License-Identifier: Apache-2.0
"""The `snapshots` interface."""

import logging

from common.context import RequestContext
from common.errors import KilonovaError, QuiesceFailed
from common.guest_hardware.wishes import Wishes
from common.objects.instance import Instance
from common.rpc.conductor.snapshots import Snapshots
from common.states import VmState
from services.conductor.accept.admission import Admission
from services.conductor.accept.snapshots import AcceptSnapshots
from services.conductor.computes import Computes

LOG = logging.getLogger(__name__)


class SnapshotsEndpoint(Snapshots):
    """Hands operations to their acceptance, and what is done at once to the instance's host."""

    def __init__(self, accept: AcceptSnapshots, admission: Admission, computes: Computes) -> None:
        self._accept = accept
        self._admission = admission
        self._computes = computes

    def check(
        self, ctx: RequestContext, instance: str, *, operation: str, metadata_items: int = 0
    ) -> Instance:
        return self._accept.check(ctx, instance, operation, metadata_items)

    def create_image(self, ctx: RequestContext, instance: str, *, image_id: str) -> None:
        self._accept.create_image(ctx, instance, image_id)

    def record_image(self, ctx: RequestContext, instance: str) -> None:
        self._accept.record_image(ctx, instance)

    def quiesce(self, ctx: RequestContext, instance: str) -> bool:
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
        if found.vm_state != VmState.ACTIVE or found.host is None:
            return False
        try:
            with self._admission.begin() as conn:
                compute = self._computes.on(conn, found.host)
            return compute.quiesce(ctx, found.host, found)
        except KilonovaError as failed:
            if Wishes(found).is_on("", "os_require_quiesce"):
                raise QuiesceFailed(instance=instance, reason=str(failed)) from failed
            LOG.warning("The guest of %s writes on while it is copied: %s", instance, failed)
            return False

    def unquiesce(self, ctx: RequestContext, instance: str) -> None:
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            if found.host is None:
                return
            compute = self._computes.on(conn, found.host)
        compute.unquiesce(ctx, found.host, found)

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

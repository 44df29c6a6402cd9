# SPDX-License-Identifier: Apache-2.0
"""Snapshots: images of what an instance has on its root disk now."""

from common.context import RequestContext
from common.objects.instance import Instance
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Snapshots(Interface, topic=TOPIC, namespace="snapshots", version="1.0"):
    """The images' records are made by the API, with the user's token, between these calls.

    Each raises: InstanceNotFound, InstanceInvalidState, InstanceNotReady, NotSupported.

    1.0  first release
    """

    @call()
    def check(
        self, ctx: RequestContext, instance: str, *, operation: str, metadata_items: int = 0
    ) -> Instance:
        """The instance, if `operation` (create_image, create_backup, shelve) would be accepted now.

        For one that boots from a volume create_image is `record_image`.
        Raises: Invalid, QuotaExceeded (more metadata items than an image may have), InstanceLocked.
        """

    @call()
    def create_image(self, ctx: RequestContext, instance: str, *, image_id: str) -> None:
        """Accept to fill the queued image with what the root disk has now."""

    @call()
    def record_image(self, ctx: RequestContext, instance: str) -> None:
        """Note that the API made an image of an instance that boots from a volume.

        Such an image is snapshots of volumes, which are the user's to make; no host has a part.
        """

    @call(timeout_s=60)
    def quiesce(self, ctx: RequestContext, instance: str) -> bool:
        """Have a guest write nothing while its volumes are copied; whether it does so.

        It goes on by itself after a minute. Raises: QuiesceFailed, where the image demands it.
        """

    @call(timeout_s=60)
    def unquiesce(self, ctx: RequestContext, instance: str) -> None:
        """Let the guest go on. Again: it does. Raises: HostDown, Unavailable."""

    @call()
    def create_backup(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        image_id: str,
        backup_type: str,
        rotation: int,
    ) -> None:
        """As `create_image`; older backups of this type go, but for the newest `rotation`."""

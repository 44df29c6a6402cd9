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

        Raises: Invalid, QuotaExceeded (more metadata items than an image may have), InstanceLocked.
        """

    @call()
    def create_image(self, ctx: RequestContext, instance: str, *, image_id: str) -> None:
        """Accept to fill the queued image with what the root disk has now."""

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

# SPDX-License-Identifier: Apache-2.0
"""Shares: which shares of the shared file system service instances have."""

from common.context import RequestContext
from common.objects.share import Share
from common.objects.share_mapping import ShareMapping
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Shares(Interface, topic=TOPIC, namespace="shares", version="1.0"):
    """Which shares instances have. Each raises: InstanceNotFound, InstanceInvalidState.

    1.0  first release
    """

    @call()
    def attach(
        self, ctx: RequestContext, instance: str, *, share: Share, tag: str | None = None
    ) -> ShareMapping:
        """Accept to give a stopped instance a share; without a `tag` its id is the tag.

        Raises: InvalidShare (it cannot be mounted), ShareInUse, SharesNotSupported,
        InstanceNotReady.
        """

    @call()
    def detach(self, ctx: RequestContext, instance: str, *, share_id: str) -> None:
        """Accept to take a share away. Raises: ShareNotFound."""

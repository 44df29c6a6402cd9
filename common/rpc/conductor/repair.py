# SPDX-License-Identifier: Apache-2.0
"""Repair: a server that is started from another image, or made anew from one."""

from common.context import RequestContext
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.rebuild import NewContent
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Repair(Interface, topic=TOPIC, namespace="repair", version="1.0"):
    """Each returns when the operation is accepted: state, task and action are committed.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.

    1.0  first release
    """

    @call()
    def rescue(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        password: str,
        image: ImageMeta | None = None,
        volume_backed: bool = False,
    ) -> None:
        """Accept to start the guest from `image` (None: its own) with its disks at hand.

        `volume_backed`: whether an instance without a local disk may be rescued too.
        Raises: Invalid (not rescuable, or not with this image).
        """

    @call()
    def unrescue(self, ctx: RequestContext, instance: str) -> None:
        """Accept to start a rescued guest from its own disk again."""

    @call()
    def rebuild(self, ctx: RequestContext, instance: str, *, content: NewContent) -> Instance:
        """Accept to make the guest anew; the instance as it is then.

        Raises: Invalid, ImageUnacceptable, QuotaExceeded, Unavailable.
        """

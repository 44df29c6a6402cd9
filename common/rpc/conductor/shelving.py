# SPDX-License-Identifier: Apache-2.0
"""Shelving: instances that are switched off, imaged, taken from their host, and brought back."""

from common.context import RequestContext
from common.objects.unshelving import Unshelving
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Shelving(Interface, topic=TOPIC, namespace="shelving", version="1.0"):
    """Each returns when the operation is accepted: state, task and action are committed.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState.

    1.0  first release
    """

    @call()
    def shelve(self, ctx: RequestContext, instance: str, *, image_id: str | None) -> None:
        """Accept to switch it off and fill the queued image (None: it boots from a volume).

        Raises: InstanceNotReady.
        """

    @call()
    def shelve_offload(self, ctx: RequestContext, instance: str) -> None:
        """Accept to take a shelved instance from its host."""

    @call()
    def unshelve(self, ctx: RequestContext, instance: str, *, to: Unshelving | None = None) -> None:
        """Accept to bring it back, to a zone or host where it is on none.

        Raises: Invalid (no such zone or host), Conflict (host outside the zone; not offloaded).
        """

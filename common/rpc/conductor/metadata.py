# SPDX-License-Identifier: Apache-2.0
"""Metadata: what the metadata service asks for guests."""

from common.context import RequestContext
from common.objects.guest_metadata import GuestMetadata
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Metadata(Interface, topic=TOPIC, namespace="metadata", version="1.0"):
    """What the metadata service asks for guests.

    1.0  first release
    """

    @call(timeout_s=3)
    def find(
        self, ctx: RequestContext, uuids: list[str], addresses: list[str]
    ) -> list[GuestMetadata]:
        """Instances with these uuids, and those that have these fixed addresses; each once.

        Many guests boot together: those that ask in the same moment are looked up together. More
        than one instance may have an address: who is asked for by it is the caller's to tell.
        """

    @call()
    def set_password(self, ctx: RequestContext, instance: str, password: str) -> bool:
        """Keep what the guest posted; False when it had posted one already."""

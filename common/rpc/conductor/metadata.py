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
    def by_instance(self, ctx: RequestContext, instance: str) -> GuestMetadata:
        """By the instance's uuid. Raises: InstanceNotFound."""

    @call(timeout_s=3)
    def by_address(self, ctx: RequestContext, address: str) -> GuestMetadata:
        """By a fixed address of the instance, as the network service bound it.

        Raises: InstanceNotFound (none, or more than one instance has that address).
        """

    @call()
    def set_password(self, ctx: RequestContext, instance: str, password: str) -> bool:
        """Keep what the guest posted; False when it had posted one already."""

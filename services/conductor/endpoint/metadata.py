# SPDX-License-Identifier: Apache-2.0
"""The `metadata` interface: instances as the metadata service looks them up for guests."""

from common.context import RequestContext
from common.errors import InstanceNotFound
from common.objects.guest_metadata import GuestMetadata
from common.rpc.conductor.metadata import Metadata
from services.conductor.db import instances
from services.conductor.db.engine import Database


class MetadataEndpoint(Metadata):
    """Any project's instances: the caller is the metadata service, not a user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(
        self, ctx: RequestContext, uuids: list[str], addresses: list[str]
    ) -> list[GuestMetadata]:
        """By uuid or fixed address, in one statement however many are asked for."""
        with self._database.read() as conn:
            return instances.of_guests(conn, uuids, addresses)

    def set_password(self, ctx: RequestContext, instance: str, password: str) -> bool:
        """Keep what the guest posted first. Raises: InstanceNotFound."""
        with self._database.begin() as conn:
            if instances.set_guest_password(conn, instance, password):
                return True
            if not instances.is_live(conn, instance):
                raise InstanceNotFound(instance=instance)
            return False

# SPDX-License-Identifier: Apache-2.0
"""Host aggregates: sets of hosts with metadata, some of which are availability zones."""

from common.context import RequestContext
from common.objects.aggregate import Aggregate
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Aggregates(Interface, topic=TOPIC, namespace="aggregates", version="1.0"):
    """Host aggregates. Every method with an `aggregate_id` raises AggregateNotFound.

    1.0  first release
    """

    @call()
    def all_of_them(self, ctx: RequestContext) -> list[Aggregate]:
        """Every aggregate, by id."""

    @call()
    def show(self, ctx: RequestContext, aggregate_id: int) -> Aggregate:
        """One aggregate."""

    @call()
    def create(self, ctx: RequestContext, *, name: str, zone: str | None = None) -> Aggregate:
        """Make an aggregate, which is an availability zone when `zone` names one.

        Raises: AggregateNameExists.
        """

    @call()
    def rename(self, ctx: RequestContext, aggregate_id: int, name: str) -> Aggregate:
        """Give it another name. Raises: AggregateNameExists."""

    @call()
    def set_metadata(
        self, ctx: RequestContext, aggregate_id: int, metadata: dict[str, str | None]
    ) -> Aggregate:
        """Set items, and remove those whose value is None; the zone is the item
        `availability_zone`.

        Raises: Invalid (a host would be in two zones, or servers are on one whose zone changes).
        """

    @call()
    def delete(self, ctx: RequestContext, aggregate_id: int) -> None:
        """Remove an aggregate. Raises: Invalid (it has hosts)."""

    @call()
    def add_host(self, ctx: RequestContext, aggregate_id: int, host: str) -> Aggregate:
        """Add a compute host.

        Raises: HostNotFound; AggregateHostExists; Conflict (the host would be in two zones, or
        servers are on it and its zone changes).
        """

    @call()
    def cache_images(self, ctx: RequestContext, aggregate_id: int, image_ids: list[str]) -> None:
        """Have those hosts that are up fetch images into their caches, in the background.

        Whether the images exist, the hosts find out.
        """

    @call()
    def remove_host(self, ctx: RequestContext, aggregate_id: int, host: str) -> Aggregate:
        """Take a host out.

        Raises: HostNotFound; AggregateHostNotFound; Conflict (servers are on it and its zone
        changes).
        """

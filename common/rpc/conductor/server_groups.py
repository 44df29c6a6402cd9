# SPDX-License-Identifier: Apache-2.0
"""Server groups: servers that want to be together, or apart."""

from common.context import RequestContext
from common.objects.server_group import ServerGroup
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class ServerGroups(Interface, topic=TOPIC, namespace="server_groups", version="1.0"):
    """Groups of servers. `project_id` None: of any project.

    1.0  first release
    """

    @call()
    def some(
        self, ctx: RequestContext, *, project_id: str | None, limit: int, offset: int = 0
    ) -> list[ServerGroup]:
        """Groups in the order they were made."""

    @call()
    def show(self, ctx: RequestContext, uuid: str, *, project_id: str | None) -> ServerGroup:
        """One group. Raises: ServerGroupNotFound."""

    @call()
    def create(self, ctx: RequestContext, group: ServerGroup) -> ServerGroup:
        """Keep a new group, within the quota of its project. Raises: QuotaExceeded."""

    @call()
    def delete(self, ctx: RequestContext, uuid: str, *, project_id: str | None) -> None:
        """Dissolve a group; its servers stay as they are. Raises: ServerGroupNotFound."""

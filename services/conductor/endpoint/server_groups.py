# SPDX-License-Identifier: Apache-2.0
"""The `server_groups` interface."""

from common.context import RequestContext
from common.objects.server_group import ServerGroup
from common.rpc.conductor.server_groups import ServerGroups
from services.conductor.db import server_groups
from services.conductor.db.engine import Database
from services.conductor.quota import Quota


class ServerGroupsEndpoint(ServerGroups):
    """Each method is one transaction on the queries of `db/server_groups.py`."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    def some(
        self, ctx: RequestContext, *, project_id: str | None, limit: int, offset: int = 0
    ) -> list[ServerGroup]:
        """Groups in the order they were made."""
        with self._database.read() as conn:
            return server_groups.list_groups(
                conn, project_id=project_id, limit=limit, offset=offset
            )

    def show(self, ctx: RequestContext, uuid: str, *, project_id: str | None) -> ServerGroup:
        """One group."""
        with self._database.read() as conn:
            return server_groups.get(conn, uuid, project_id=project_id)

    def create(self, ctx: RequestContext, group: ServerGroup) -> ServerGroup:
        """Keep a new group, within the quota."""
        with self._database.begin() as conn:
            self._quota.check_server_group(conn, group.project_id, group.user_id)
            server_groups.add(conn, group)
        return group

    def delete(self, ctx: RequestContext, uuid: str, *, project_id: str | None) -> None:
        """Dissolve a group. Again: not found."""
        with self._database.begin() as conn:
            group = server_groups.get(conn, uuid, project_id=project_id, for_update=True)
            server_groups.remove(conn, group)

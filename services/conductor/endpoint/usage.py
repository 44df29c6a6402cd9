# SPDX-License-Identifier: Apache-2.0
"""The `usage` interface."""

from datetime import datetime

from common.context import RequestContext
from common.objects.usage import HostUsage, ProjectShare, ServerUsage
from common.rpc.conductor.usage import Usage
from services.conductor.db import usage
from services.conductor.db.engine import Database


class UsageEndpoint(Usage):
    """Who may see which project is the API's policy; here every project is answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_period(
        self,
        ctx: RequestContext,
        *,
        start: datetime,
        end: datetime,
        project_id: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ServerUsage]:
        """Servers that were there."""
        with self._database.read() as conn:
            return usage.in_period(
                conn, start=start, end=end, project_id=project_id, limit=limit, marker=marker
            )

    def by_host(self, ctx: RequestContext, *, start: datetime, end: datetime) -> list[HostUsage]:
        """How many servers ran, for every compute host."""
        with self._database.read() as conn:
            return usage.by_host(conn, start=start, end=end)

    def on_host(self, ctx: RequestContext, host: str) -> list[ProjectShare]:
        """What servers of `host` may use, a project each."""
        with self._database.read() as conn:
            return usage.on_host(conn, host)

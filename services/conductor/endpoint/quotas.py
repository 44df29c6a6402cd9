# SPDX-License-Identifier: Apache-2.0
"""The `quotas` interface."""

from common.context import RequestContext
from common.objects.quota import QuotaSet
from common.rpc.conductor.quotas import Quotas
from services.conductor.db import quotas
from services.conductor.db.engine import Database
from services.conductor.quota import Quota


class QuotasEndpoint(Quotas):
    """Who may ask for which project is the API's policy; here every project is answered."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    def quota_set(
        self,
        ctx: RequestContext,
        *,
        project_id: str,
        user_id: str | None = None,
        with_usage: bool = False,
    ) -> QuotaSet:
        """Limits, with usage when asked for."""
        with self._database.read() as conn:
            return self._quota.quota_set(conn, project_id, user_id, with_usage=with_usage)

    def defaults(self, ctx: RequestContext) -> QuotaSet:
        """Limits of a project that has none of its own."""
        with self._database.read() as conn:
            return self._quota.defaults(conn)

    def update(
        self,
        ctx: RequestContext,
        *,
        project_id: str,
        user_id: str | None = None,
        limits: dict[str, int],
        force: bool = False,
    ) -> QuotaSet:
        """Set limits."""
        with self._database.begin() as conn:
            return self._quota.update(conn, project_id, user_id, limits, force=force)

    def class_set(self, ctx: RequestContext, class_name: str) -> QuotaSet:
        """The limits of a quota class."""
        with self._database.read() as conn:
            return self._quota.class_set(conn, class_name)

    def update_class(
        self, ctx: RequestContext, class_name: str, limits: dict[str, int]
    ) -> QuotaSet:
        """Set limits of a class. Again: the same."""
        with self._database.begin() as conn:
            quotas.put_class(conn, class_name, limits)
            return self._quota.class_set(conn, class_name)

    def delete(self, ctx: RequestContext, *, project_id: str, user_id: str | None = None) -> None:
        """Go back to the defaults."""
        with self._database.begin() as conn:
            quotas.remove(conn, project_id, user_id)

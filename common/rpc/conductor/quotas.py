# SPDX-License-Identifier: Apache-2.0
"""Quotas: limits of projects and users, and what they use."""

from common.context import RequestContext
from common.objects.quota import QuotaSet
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Quotas(Interface, topic=TOPIC, namespace="quotas", version="1.0"):
    """Limits of projects and users, and what they use.

    1.0  first release
    """

    @call()
    def quota_set(
        self,
        ctx: RequestContext,
        *,
        project_id: str,
        user_id: str | None = None,
        with_usage: bool = False,
    ) -> QuotaSet:
        """A project's limits (of one user of it when named), with usage when asked for."""

    @call()
    def defaults(self, ctx: RequestContext) -> QuotaSet:
        """The limits of a project that has none of its own."""

    @call()
    def update(
        self,
        ctx: RequestContext,
        *,
        project_id: str,
        user_id: str | None = None,
        limits: dict[str, int],
        force: bool = False,
    ) -> QuotaSet:
        """Set limits. Raises: Invalid (below usage without `force`, above the project's limit)."""

    @call()
    def class_set(self, ctx: RequestContext, class_name: str) -> QuotaSet:
        """The limits of a quota class; what it does not set is as configured."""

    @call()
    def update_class(
        self, ctx: RequestContext, class_name: str, limits: dict[str, int]
    ) -> QuotaSet:
        """Set limits of a class; those of `default` hold for projects without own limits."""

    @call()
    def delete(self, ctx: RequestContext, *, project_id: str, user_id: str | None = None) -> None:
        """Go back to the defaults."""

# SPDX-License-Identifier: Apache-2.0
"""Usage: what servers used in a period, and who shares a host."""

from datetime import datetime

from common.context import RequestContext
from common.objects.usage import HostUsage, ProjectShare, ServerUsage
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Usage(Interface, topic=TOPIC, namespace="usage", version="1.0"):
    """What servers used in a period, and who shares a host.

    1.0  first release
    """

    @call()
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
        """Servers that were there between `start` and `end`, by project and age; deleted ones too.

        `marker` is the uuid of the last one of the page before. Raises: Invalid (unknown marker).
        """

    @call()
    def by_host(self, ctx: RequestContext, *, start: datetime, end: datetime) -> list[HostUsage]:
        """How many servers ran between `start` and `end`, for every compute host by name.

        A server counts for the host that it is on now, or was on last; one on none for none.
        """

    @call()
    def on_host(self, ctx: RequestContext, host: str) -> list[ProjectShare]:
        """What the servers on `host` may use, a project each. Of an unknown host: nothing."""

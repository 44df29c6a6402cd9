# SPDX-License-Identifier: Apache-2.0
"""What the scheduler does for the conductor."""

from common.context import RequestContext
from common.objects.compute_node import HostDelta
from common.objects.request_spec import RequestSpec, Selection
from common.rpc.interface import Interface, call, cast


class Scheduler(Interface, topic="kilonova-scheduler", version="1.0"):
    """What the scheduler does for the conductor.

    1.0  first release
    """

    @call(timeout_s=15)
    def select(self, ctx: RequestContext, spec: RequestSpec) -> Selection:
        """Hosts and alternates for each instance of `spec`. Claims nothing.

        Raises: Unavailable (it has no picture of the hosts yet).
        """

    @cast(fanout=True)
    def apply(
        self, ctx: RequestContext, publisher: str, number: int, deltas: list[HostDelta]
    ) -> None:
        """Hosts that changed. `number` grows by one a message of a `publisher`; after a gap the
        scheduler asks for a new baseline."""

# SPDX-License-Identifier: Apache-2.0
"""What every daemon answers on its own queue: how it is."""

from common.context import RequestContext
from common.objects.daemon_status import DaemonStatus
from common.rpc.interface import Interface, call


class Control(Interface, topic="kilonova-control", version="1.0"):
    """What every daemon answers: served on the queue `<binary>.<host>` of one topic.

    1.0  first release
    """

    @call(timeout_s=3)
    def status(self, ctx: RequestContext) -> DaemonStatus:
        """How the daemon is."""

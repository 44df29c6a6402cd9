# SPDX-License-Identifier: Apache-2.0
"""Reports: what compute hosts tell the conductor about operations and guests."""

from common.context import RequestContext
from common.objects.operation import Operation, OperationReport
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call, cast


class Reports(Interface, topic=TOPIC, namespace="reports", version="1.0"):
    """What compute hosts tell the conductor about operations and guests.

    1.0  first release
    """

    @cast()
    def operation_done(self, ctx: RequestContext, report: OperationReport) -> None:
        """An operation ended. Again, or for a task that went on without it: no effect."""

    @call()
    def pending_operations(self, ctx: RequestContext, hosts: list[str]) -> list[Operation]:
        """Operations that these hosts were sent and have not reported, oldest first."""

    @cast()
    def power_states(self, ctx: RequestContext, host: str, states: dict[str, int]) -> None:
        """Power states by instance uuid, as events or a sweep found them.

        An instance at rest takes the state on (a guest that shut itself down is `stopped`);
        one with a task under way is left to its task.
        """

    @cast()
    def strays(self, ctx: RequestContext, host: str, states: dict[str, int]) -> None:
        """Guests on `host` whose instances do not belong there, with their power states.

        One that came by a live migration which was given up takes its instance along.
        """

    @call()
    def host_booted(self, ctx: RequestContext, host: str) -> int:
        """Have the guests run again that ran when the host went down; how many those are.

        Each has a task of its own then. Again: those that have none and are still thought to run.
        """

    @call()
    def instances_of(self, ctx: RequestContext, host: str) -> dict[str, int]:
        """Uuid and recorded power state of every instance that belongs on `host`."""

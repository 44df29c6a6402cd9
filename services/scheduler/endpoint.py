# SPDX-License-Identifier: Apache-2.0
"""The server side of the scheduler's interface."""

from common.context import RequestContext
from common.objects.compute_node import HostDelta
from common.objects.request_spec import RequestSpec, Selection
from common.rpc.scheduler import Scheduler
from services.scheduler.baseline import Picture
from services.scheduler.select import Chooser


class SchedulerEndpoint(Scheduler):
    """Decodes, delegates, and nothing else."""

    def __init__(self, picture: Picture, chooser: Chooser) -> None:
        self._picture, self._chooser = picture, chooser

    def select(self, ctx: RequestContext, spec: RequestSpec) -> Selection:
        """Hosts and alternates for each instance of `spec`."""
        with self._picture.hosts() as hosts:
            return self._chooser.select(hosts, spec)

    def apply(
        self, ctx: RequestContext, publisher: str, number: int, deltas: list[HostDelta]
    ) -> None:
        """Hosts that changed."""
        self._picture.apply(publisher, number, deltas)

# SPDX-License-Identifier: Apache-2.0
"""The `reports` interface: what compute hosts say of operations and guests."""

import logging

from common.context import RequestContext
from common.objects.operation import Operation, OperationReport
from common.rpc.conductor.reports import Reports
from services.conductor.accept.arrivals import AcceptArrivals
from services.conductor.accept.revival import AcceptRevival
from services.conductor.db import journal, power
from services.conductor.db.engine import Database
from services.conductor.journal.engine import Engine

LOG = logging.getLogger(__name__)


class ReportsEndpoint(Reports):
    """Hands reports to the journal's engine; power states go to instances at rest."""

    def __init__(
        self,
        database: Database,
        engine: Engine,
        revival: AcceptRevival,
        arrivals: AcceptArrivals,
    ) -> None:
        self._database = database
        self._engine = engine
        self._revival = revival
        self._arrivals = arrivals

    def operation_done(self, ctx: RequestContext, report: OperationReport) -> None:
        """Move the task that waits for it. Again: no effect."""
        self._engine.reported(report)

    def pending_operations(self, ctx: RequestContext, hosts: list[str]) -> list[Operation]:
        """What these hosts have not reported, with what they owe from when they were down."""
        with self._database.read() as conn:
            return journal.pending_of(conn, hosts)

    def power_states(self, ctx: RequestContext, host: str, states: dict[str, int]) -> None:
        """Note what the host saw."""
        if not states:
            return
        with self._database.begin() as conn:
            changed = power.take_over(conn, host, states)
        for uuid, vm_state in changed.items():
            LOG.info("Instance %s on %s was seen to be %s", uuid, host, vm_state)

    def strays(self, ctx: RequestContext, host: str, states: dict[str, int]) -> None:
        """Look for those that came alive."""
        self._arrivals.strays(ctx, host, states)

    def host_booted(self, ctx: RequestContext, host: str) -> int:
        """Have its guests run again."""
        return self._revival.host_booted(ctx, host)

    def instances_of(self, ctx: RequestContext, host: str) -> dict[str, int]:
        """What belongs on the host."""
        with self._database.read() as conn:
            return power.recorded(conn, host)

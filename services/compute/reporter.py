# SPDX-License-Identifier: Apache-2.0
"""The reporter: what a host says without being asked.

Inventory at start, when it changes, and now and then; signs of life; and the question for
operations whose message got lost, which also resumes what a killed daemon had under way.
"""

import logging
from collections.abc import Callable

import msgspec

from common.clock import Clock
from common.context import service_context
from common.errors import KilonovaError
from common.objects.compute_node import HostReport
from common.objects.operation import Operation
from common.rpc.conductor.hosts import Hosts as HostsRpc
from common.rpc.conductor.reports import Reports
from services.compute.hosts import Hosts
from services.compute.periodic import Periodic
from services.compute.power_watch import PowerWatch

LOG = logging.getLogger(__name__)

BINARY = "nova-compute"  # the name that clients know
_LOOK_FOR_CHANGES_S = 60
_REPORTS_A_CALL = 200


class Reporter:
    """Keeps the conductor informed; each kind of news on a thread of its own."""

    def __init__(
        self,
        hosts: Hosts,
        *,
        to_hosts: HostsRpc,
        to_reports: Reports,
        run: Callable[[Operation], None],
        power_watch: PowerWatch,
        clock: Clock,
        intervals: "Intervals",
    ) -> None:
        self._hosts = hosts
        self._to_hosts = to_hosts
        self._to_reports = to_reports
        self._run = run
        self._clock = clock
        self._report_interval_s = intervals.report_s
        self._sent: dict[str, HostReport] = {}
        self._sent_at: float | None = None
        self._inventory = Periodic(
            "inventory", self._report, min(intervals.report_s, _LOOK_FOR_CHANGES_S)
        )
        self._heartbeat = Periodic("heartbeat", self._beat, intervals.heartbeat_s)
        self._pending = Periodic("pending", self._ask_for_pending, intervals.pending_s)
        self._sweep = Periodic(
            "sweep",
            power_watch.sweep,
            intervals.sweep_s,
            first_after_s=0 if intervals.sweep_at_start else intervals.sweep_s,
        )
        self._housekeeping = Periodic(
            "housekeeping", self._clean, intervals.clean_s, first_after_s=intervals.clean_s
        )
        self._all = (
            self._inventory, self._heartbeat, self._pending, self._sweep, self._housekeeping,
        )  # fmt: skip

    def start(self) -> None:
        """Begin; nothing here waits for the conductor."""
        for periodic in self._all:
            periodic.start()

    def stop(self) -> None:
        """End."""
        for periodic in self._all:
            periodic.stop()

    def problem(self) -> str | None:
        """Why the conductor does not know this host; None when it does."""
        return self._inventory.problem()

    def _report(self) -> None:
        reports = [self._hosts.report(host) for host in self._hosts]
        now = self._clock.monotonic()
        is_due = self._sent_at is None or now - self._sent_at >= self._report_interval_s
        news = [r for r in reports if is_due or _lasting(r) != self._sent.get(r.host)]
        if self._sent_at is None:
            # What is sent while no conductor has come yet is lost, and waited for all the same.
            self._to_hosts.greet(service_context())
        for batch in _batches(news, _REPORTS_A_CALL):
            self._to_hosts.report(service_context(), batch)
            self._sent |= {report.host: _lasting(report) for report in batch}
        if is_due:
            self._sent_at = now

    def _beat(self) -> None:
        # A host whose hypervisor is away gives no sign of life: nothing should be built there.
        alive = [host.name for host in self._hosts if host.driver.health() is None]
        if len(alive) < len(self._hosts.names):
            self._inventory.soon()  # it connects again
        if alive:
            self._to_hosts.heartbeat(service_context(), BINARY, alive)

    def _ask_for_pending(self) -> None:
        pending = self._to_reports.pending_operations(service_context(), self._hosts.names)
        for operation in pending:
            LOG.debug("The conductor waits for %s (%s)", operation.id, operation.method)
            try:
                self._run(operation)
            except KilonovaError as refused:
                LOG.warning("Operation %s cannot be run: %s", operation.id, refused)

    def _clean(self) -> None:
        for host in self._hosts:
            host.driver.clean()


class Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds between two rounds of each kind of news."""

    report_s: float = 300
    heartbeat_s: float = 10
    pending_s: float = 30
    sweep_s: float = 600
    sweep_at_start: bool = True
    clean_s: float = 600


def _lasting(report: HostReport) -> HostReport:
    """The report without what changes all the time and can wait for the next full report."""
    return msgspec.structs.replace(report, free_disk_gib=0, running_instances=0, uptime=None)


def _batches(reports: list[HostReport], size: int) -> list[list[HostReport]]:
    return [reports[start : start + size] for start in range(0, len(reports), size)]

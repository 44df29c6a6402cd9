# SPDX-License-Identifier: Apache-2.0
"""Operations: what the conductor asks a host to do, once per id, each ended by a report.

An id that is under way is not started again; one that ended is answered with its report. After a
restart the conductor names what it still waits for (services/compute/reporter.py asks), and that
runs again under its id: drivers' methods are made for repetition.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common.context import RequestContext
from common.errors import (
    DiskFull,
    HypervisorError,
    KilonovaError,
    OperationCancelled,
    Unavailable,
)
from common.objects.operation import OperationReport
from common.observability import log
from common.space import is_full
from services.compute.finished import Finished
from services.compute.lanes import Lanes
from services.compute.virt.driver import Checkpoint

LOG = logging.getLogger(__name__)

# Does the work of one operation; what it returns travels in the report.
Work = Callable[[Checkpoint], dict[str, Any]]


@dataclass(frozen=True)
class Request:
    """An operation as it was asked for. `overrides` others: it makes their outcome worthless."""

    id: str
    host: str
    instance_uuid: str
    method: str
    overrides: bool = False


@dataclass
class _Running:
    request: Request
    cancelled_because: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def cancel(self, reason: str) -> None:
        self.cancelled_because = reason
        self.stop.set()

    def checkpoint(self) -> None:
        if self.stop.is_set():
            raise OperationCancelled(reason=self.cancelled_because)


class Operations:
    """Runs operations and hands their reports to `send`, which must not block."""

    def __init__(
        self,
        lanes: Lanes,
        finished: Finished,
        send: Callable[[OperationReport], None],
    ) -> None:
        self._lanes = lanes
        self._finished = finished
        self._send = send
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._is_stopping = False

    def start(self, ctx: RequestContext, request: Request, work: Work) -> None:
        """Do `work` after what is under way for the instance, unless this id has run or runs.

        A request that overrides asks the instance's other operations to give up.
        """
        running = _Running(request)
        with self._lock:
            if request.id in self._running:
                return
            report = self._finished.get(request.id)
            if report is None:
                if request.overrides:
                    self._cancel_all(request.instance_uuid, f"{request.method} was asked for")
                self._running[request.id] = running
        if report is not None:
            LOG.info("Operation %s ended before; reporting it again", request.id)
            self._send(report)
            return
        try:
            self._lanes.put(request.instance_uuid, lambda: self._run(ctx, running, work))
        except Unavailable as full:
            # Not remembered: the conductor sends it again, or goes elsewhere at its deadline.
            LOG.warning("Operation %s is not taken now: %s", request.id, full)
            with self._lock:
                del self._running[request.id]

    def allow_again(self, operation_id: str) -> None:
        """Let an operation run under an id that failed before."""
        with self._lock:
            report = self._finished.get(operation_id)
            if report is not None and report.error is not None:
                self._finished.forget(operation_id)

    def cancel(self, operation_id: str, host: str) -> None:
        """Have the operation end as given up, at its next checkpoint when it runs already.

        One that never came is remembered as given up: it may still be on its way.
        """
        reason = "it was cancelled"
        with self._lock:
            running = self._running.get(operation_id)
            if running is not None:
                running.cancel(reason)
                return
            report = self._finished.get(operation_id)
            if report is None:
                error = OperationCancelled(reason=reason).to_wire()
                report = OperationReport(operation_id=operation_id, host=host, error=error)
                self._finished.add(report)
        self._send(report)

    def is_busy(self, instance_uuid: str) -> bool:
        """Whether an operation of the instance runs or waits."""
        return self._lanes.is_busy(instance_uuid)

    def cancel_everything(self, reason: str) -> None:
        """Ask all operations to give up: the daemon stops.

        What gives up is not reported: it runs again, under its id, when the daemon is back.
        """
        with self._lock:
            self._is_stopping = True
            for running in self._running.values():
                running.cancel(reason)

    def _cancel_all(self, instance_uuid: str, reason: str) -> None:
        for running in self._running.values():
            if running.request.instance_uuid == instance_uuid:
                running.cancel(reason)

    def _run(self, ctx: RequestContext, running: _Running, work: Work) -> None:
        request = running.request
        started = time.monotonic()
        with log.bound(ctx, instance=request.instance_uuid, host=request.host):
            LOG.debug("%s begins", request.method)
            result, error = _attempt(running, work)
            report = OperationReport(
                operation_id=request.id,
                host=request.host,
                result=result,
                error=error.to_wire() if error else None,
                took_ms=round((time.monotonic() - started) * 1000),
            )
            if error:
                LOG.warning("%s failed after %d ms: %s", request.method, report.took_ms, error)
            else:
                LOG.info("%s took %d ms", request.method, report.took_ms)
        with self._lock:
            will_run_again = self._is_stopping and isinstance(error, OperationCancelled)
            if not will_run_again:
                self._finished.add(report)
            del self._running[request.id]
        if not will_run_again:
            self._send(report)


def _attempt(running: _Running, work: Work) -> tuple[dict[str, Any], KilonovaError | None]:
    try:
        running.checkpoint()
        return work(running.checkpoint), None
    except KilonovaError as failed:
        return {}, failed
    except Exception as unexpected:  # the outermost frame of an operation
        if isinstance(unexpected, OSError) and is_full(unexpected):
            where = unexpected.filename or "its own files"
            return {}, DiskFull(what=where, free_mib=0, need_mib="more")
        LOG.exception("%s failed unexpectedly", running.request.method)
        reason = f"{type(unexpected).__name__} in {running.request.method}: {unexpected}"
        return {}, HypervisorError(reason=reason)

# SPDX-License-Identifier: Apache-2.0
"""Reports of operations that ended, remembered so that no operation runs twice.

In memory for fake hosts; for a real host each report is also a small file, because a guest that an
operation has changed outlives the daemon.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from common.objects.operation import OperationReport

LOG = logging.getLogger(__name__)

# The conductor sends an operation again within minutes; an hour outlasts any of its deadlines.
_KEEP_S = 3600
_decode = msgspec.json.Decoder(OperationReport).decode
_encode = msgspec.json.Encoder().encode


class Finished(Protocol):
    """Remembers reports by operation id."""

    def get(self, operation_id: str) -> OperationReport | None:
        """The report of an operation that ended; None when none did under this id."""

    def add(self, report: OperationReport) -> None:
        """Remember; survives what the implementation promises once this returns."""

    def forget(self, operation_id: str) -> None:
        """Let the operation run again. Again: nothing."""


class FinishedInMemory:
    """Remembers as long as the process lives, the latest `most` reports."""

    def __init__(self, most: int = 20000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._reports: dict[str, OperationReport] = {}

    def get(self, operation_id: str) -> OperationReport | None:
        with self._lock:
            return self._reports.get(operation_id)

    def add(self, report: OperationReport) -> None:
        with self._lock:
            self._reports[report.operation_id] = report
            while len(self._reports) > self._most:
                del self._reports[next(iter(self._reports))]

    def forget(self, operation_id: str) -> None:
        with self._lock:
            self._reports.pop(operation_id, None)


class FinishedOnDisk:
    """Remembers for an hour, across restarts: one file an operation in `folder`.

    A file appears whole or not at all, and is on the disk before `add` returns. Where it cannot be
    written, as on a full disk, the report is kept in memory: whoever waits for it must have it.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._pruned_at = 0.0
        self._unwritten = FinishedInMemory()
        folder.mkdir(parents=True, exist_ok=True)
        for half_written in folder.glob("*.new"):
            half_written.unlink(missing_ok=True)

    def get(self, operation_id: str) -> OperationReport | None:
        path = self._path(operation_id)
        try:
            return _decode(path.read_bytes())
        except FileNotFoundError:
            return self._unwritten.get(operation_id)
        except msgspec.DecodeError as damaged:
            LOG.warning("%s is damaged, its operation may run again: %s", path, damaged)
            return None

    def add(self, report: OperationReport) -> None:
        path = self._path(report.operation_id)
        fresh = path.with_suffix(".new")
        try:
            self._prune()  # first: it may make room
            with fresh.open("wb") as file:
                file.write(_encode(report))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as failed:
            LOG.error(
                "The report of operation %s cannot be written (%s): after a restart it runs again",
                report.operation_id,
                failed,
            )
            self._unwritten.add(report)
            fresh.unlink(missing_ok=True)

    def forget(self, operation_id: str) -> None:
        self._unwritten.forget(operation_id)
        self._path(operation_id).unlink(missing_ok=True)

    def _path(self, operation_id: str) -> Path:
        return self._folder / f"{quote(operation_id, safe='')}.json"

    def _prune(self) -> None:
        """Forget what is old, at most once a minute."""
        if self._now() - self._pruned_at < 60:
            return
        self._pruned_at = self._now()
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if self._now() - path.stat().st_mtime > _KEEP_S:
                    path.unlink()

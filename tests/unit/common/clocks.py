# SPDX-License-Identifier: Apache-2.0
"""A clock that tests move by hand."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Stands still until `advance` is called."""

    def __init__(self) -> None:
        self._moved_s = 0.0
        self._start = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._moved_s)

    def monotonic(self) -> float:
        return 1000.0 + self._moved_s

    def advance(self, seconds: float) -> None:
        self._moved_s += seconds

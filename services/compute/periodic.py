# SPDX-License-Identifier: Apache-2.0
"""Work that a daemon repeats on a thread of its own, at jittered intervals."""

import logging
import random
import threading
from collections.abc import Callable

from common.errors import KilonovaError

LOG = logging.getLogger(__name__)

_AFTER_FAILURE_S = 3.0


class Periodic:
    """Runs `work` after `first_after_s` and then about every `interval_s` seconds.

    A failure is logged when it begins and tried again soon: after three seconds, or after the
    interval where that is shorter.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        interval_s: float,
        *,
        first_after_s: float = 0,
        jitter: Callable[[], float] = lambda: random.uniform(0.85, 1.15),
    ) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._first_after_s = first_after_s
        self._jitter = jitter
        self._wake = threading.Event()
        self._stopping = False
        self._problem: str | None = "not done yet"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def soon(self) -> None:
        """Run the work now instead of at the end of the interval."""
        self._wake.set()

    def problem(self) -> str | None:
        """Why the work fails; None when its last run went well."""
        return self._problem

    def stop(self, *, within_s: float = 5) -> None:
        """End after the run under way."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(within_s)

    def _run(self) -> None:
        if self._first_after_s:
            self._wake.wait(self._first_after_s * self._jitter())
        while not self._stopping:
            went_well = self._run_once()
            pause_s = self._interval_s if went_well else min(_AFTER_FAILURE_S, self._interval_s)
            self._wake.wait(pause_s * self._jitter())
            self._wake.clear()

    def _run_once(self) -> bool:
        try:
            self._work()
        except KilonovaError as refused:
            if self._problem != str(refused):
                LOG.warning("%s: %s", self._name, refused)
            self._problem = str(refused)
        except Exception as unexpected:  # the outermost frame of this thread
            LOG.exception("%s failed unexpectedly", self._name)
            self._problem = repr(unexpected)
        else:
            self._problem = None
        return self._problem is None

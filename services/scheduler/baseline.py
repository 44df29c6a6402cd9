# SPDX-License-Identifier: Apache-2.0
"""The scheduler's picture of the hosts, kept true: one baseline, then numbered deltas.

Deltas count up by one for each conductor that publishes them. A gap means that one was lost, and a
new baseline is fetched while the old picture serves on. Deltas that arrive meanwhile are kept and
applied again after it: the newer generation of a host wins, so twice does no harm.
"""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import KilonovaError, Unavailable
from common.objects.compute_node import HostBaseline, HostDelta
from services.scheduler.host_table import HostTable

LOG = logging.getLogger(__name__)

_RETRY_S = 1.0
# A lost delta shows when the publisher's next one arrives. Where none follows (its conductor is
# gone, or nothing happens), this is how long the picture may be wrong.
_REFRESH_S = 300.0
# A thread that waits for an answer cannot be interrupted; the process ends without it.
_STOP_S = 3.0


class Picture:
    """The host table with its lock, and where each publisher of deltas stands."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table = HostTable()
        self._last: dict[str, int] = {}
        self._kept: list[tuple[str, int, list[HostDelta]]] | None = None
        self._has_baseline = False
        self.wanted = threading.Event()
        self.wanted.set()

    @property
    def has_baseline(self) -> bool:
        """Whether there is a picture at all."""
        return self._has_baseline

    @property
    def size(self) -> int:
        """Number of hosts."""
        return len(self._table)

    @contextmanager
    def hosts(self) -> Iterator[HostTable]:
        """The table, for this thread alone. Raises: Unavailable (there is no picture yet)."""
        if not self._has_baseline:
            raise Unavailable(service="The scheduler's picture of the hosts")
        with self._lock:
            yield self._table

    def keep_deltas(self) -> None:
        """From now on remember deltas, for the baseline that is about to be asked for."""
        self.wanted.clear()
        with self._lock:
            self._kept = []

    def load(self, baseline: HostBaseline) -> None:
        """Replace the picture; what was kept meanwhile is applied to it."""
        with self._lock:
            kept, self._kept = self._kept or [], None
            self._table.load(baseline)
            self._last = dict(baseline.published)
            for publisher, number, deltas in kept:
                self._follow(publisher, number, deltas)
            self._has_baseline = True

    def apply(self, publisher: str, number: int, deltas: list[HostDelta]) -> None:
        """A publisher's message; a gap before it sets `wanted`."""
        with self._lock:
            if self._kept is not None:
                self._kept.append((publisher, number, deltas))
            if self._has_baseline:
                self._follow(publisher, number, deltas)

    def _follow(self, publisher: str, number: int, deltas: list[HostDelta]) -> None:
        # A publisher that the baseline does not know starts where it is first heard: it commits
        # before it publishes, and we listened before we asked, so the baseline holds the rest.
        last = self._last.get(publisher, number - 1)
        if number > last + 1:
            LOG.warning("Lost %d deltas of %s; fetching a baseline", number - last - 1, publisher)
            self.wanted.set()
        self._last[publisher] = max(number, last)
        for delta in deltas:
            self._table.apply(delta)


class BaselineFetcher:
    """A thread that fetches a baseline at start, after a gap, and from time to time."""

    def __init__(
        self, picture: Picture, fetch: Callable[[], HostBaseline], rng: random.Random
    ) -> None:
        self._picture, self._fetch, self._rng = picture, fetch, rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="baseline", daemon=True)

    def start(self) -> None:
        """Begin; the first baseline may take until a conductor answers."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._picture.wanted.set()
        self._thread.join(timeout=_STOP_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._fetch_one():
                self._picture.wanted.set()
                self._stopping.wait(_RETRY_S * self._rng.uniform(0.5, 1.5))
                continue
            self._picture.wanted.wait(_REFRESH_S * self._rng.uniform(0.8, 1.2))

    def _fetch_one(self) -> bool:
        self._picture.keep_deltas()
        try:
            baseline = self._fetch()
        except KilonovaError as away:
            LOG.warning("No baseline yet: %s", away)
            return False
        self._picture.load(baseline)
        LOG.info("Loaded a baseline of %d hosts", len(baseline.hosts))
        return True

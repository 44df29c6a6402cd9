# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: signs of life of ten thousand hosts, folded into one statement a second."""

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable

from common.errors import Unavailable
from services.conductor.db import services
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)


class Heartbeats:
    """Collects heartbeats and writes them every `interval_s` seconds.

    While the database is away they are kept: only the last one of a host counts.
    """

    def __init__(self, database: Database, *, interval_s: float = 1.0) -> None:
        self._database = database
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._heard: dict[str, set[str]] = defaultdict(set)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        self._thread.join()

    def heard(self, binary: str, hosts: Iterable[str]) -> None:
        """These services are alive."""
        with self._lock:
            self._heard[binary].update(hosts)

    def write(self) -> int:
        """Write what was heard so far; how many services that were.

        Raises: Unavailable, or what the statement failed with; what was heard is kept then.
        """
        with self._lock:
            batch, self._heard = self._heard, defaultdict(set)
        if not batch:
            return 0
        try:
            with self._database.begin() as conn:
                return sum(
                    services.heard_from(conn, binary, sorted(hosts))
                    for binary, hosts in sorted(batch.items())
                )
        except Exception:
            for binary, hosts in batch.items():
                self.heard(binary, hosts)
            raise

    def _run(self) -> None:
        while True:
            stopping = self._stopping.wait(self._interval_s)
            try:
                self.write()
            except Unavailable as away:
                LOG.warning("Heartbeats of services wait: %s", away)
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("Heartbeats could not be written")
            if stopping:
                return

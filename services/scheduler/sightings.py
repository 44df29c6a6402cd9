# SPDX-License-Identifier: Apache-2.0
"""What no delta tells of hosts, looked at from time to time: operations under way, and images.

Both change without a claim; a delta each time would cost more than they are worth. Between two
looks the table counts who has come since as under way.
"""

import logging
import random
import threading
from collections.abc import Callable

from common.errors import KilonovaError
from services.scheduler.baseline import Picture
from services.scheduler.host_table import HostTable

LOG = logging.getLogger(__name__)

# A look that waits for an answer cannot be interrupted; the process ends without it.
_STOP_S = 3.0

# A conductor that does not answer is asked more rarely: calls without an answer are what makes the
# bus rebuild its connection.
_RARER = 10

# Asks a conductor; what comes back puts the answer into the table.
Look = Callable[[], Callable[[HostTable], None]]


class Sightings:
    """A thread a `look`, each about every `interval_s` seconds. A look that fails is left out."""

    def __init__(
        self, name: str, picture: Picture, look: Look, *, interval_s: float, rng: random.Random
    ) -> None:
        self._name, self._picture, self._look = name, picture, look
        self._interval_s, self._rng = interval_s, rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join(timeout=_STOP_S)

    def _run(self) -> None:
        went_well = True
        while True:
            pause_s = self._interval_s * (1 if went_well else _RARER)
            if self._stopping.wait(pause_s * self._rng.uniform(0.8, 1.2)):
                return
            # Without a picture there is nothing to complete, and perhaps nobody to ask.
            if self._picture.has_baseline:
                went_well = self._look_once()

    def _look_once(self) -> bool:
        try:
            put = self._look()
            with self._picture.hosts() as hosts:
                put(hosts)
        except KilonovaError as away:
            LOG.warning("The %s of hosts are not known anew: %s", self._name, away)
        except Exception:  # the outermost frame of the thread: it must go on
            LOG.exception("The %s of hosts could not be looked at", self._name)
        else:
            return True
        return False

# SPDX-License-Identifier: Apache-2.0
"""Chores: what nobody asks for but the clock. Every conductor does them; doing them twice is fine.

Unlike the sweep they are no part of the journal: each looks for instances that are due for
something and asks for it as a user would.
"""

import logging
import random
import threading
from collections.abc import Callable, Sequence

from common.errors import KilonovaError, Unavailable

LOG = logging.getLogger(__name__)


class Chores:
    """Does each chore every `interval_s` seconds or so."""

    def __init__(
        self, chores: Sequence[Callable[[], None]], *, interval_s: float, rng: random.Random
    ) -> None:
        self._chores = chores
        self._interval_s = interval_s
        self._rng = rng
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        """Begin, after a first pause."""
        self._thread.start()

    def stop(self) -> None:
        """End after the chore under way."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # Conductors that start together shall not go on doing everything together.
        while not self._stopping.wait(self._interval_s * self._rng.uniform(0.8, 1.2)):
            for chore in self._chores:
                self._do(chore)

    def _do(self, chore: Callable[[], None]) -> None:
        try:
            chore()
        except Unavailable as away:
            LOG.warning("%s waits: %s", chore.__name__, away)
        except KilonovaError as refused:
            LOG.warning("%s met a refusal and goes on next time: %s", chore.__name__, refused)
        except Exception:  # the outermost frame of the thread: it must go on
            LOG.exception("%s failed", chore.__name__)

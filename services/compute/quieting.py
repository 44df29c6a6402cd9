# SPDX-License-Identifier: Apache-2.0
"""Guests whose file systems are still for a moment, so that snapshots of their volumes are whole.

Who asked for that may die before it lets them go on: after a while the host does so by itself.
"""

import logging
import threading

from common.errors import KilonovaError
from common.objects.instance import Instance
from services.compute.virt.driver import Driver

LOG = logging.getLogger(__name__)

_MOST_S = 60.0


class Quieting:
    """Keeps guests quiet for `most_s` at most."""

    def __init__(self, most_s: float = _MOST_S) -> None:
        self._most_s = most_s
        self._lock = threading.Lock()
        self._ends: dict[str, threading.Timer] = {}

    def begin(self, driver: Driver, instance: Instance) -> bool:
        """Have the guest write nothing; whether it does so. Again: for as long anew.

        Raises: as `Driver.quiesce`.
        """
        end = threading.Timer(self._most_s, self._end_late, (driver, instance))
        end.daemon = True
        self._expect(instance.uuid, end)
        try:
            is_quiet = driver.quiesce(instance)
        except KilonovaError:
            self._expect(instance.uuid, None)
            raise
        if is_quiet:
            end.start()
        else:
            self._expect(instance.uuid, None)
        return is_quiet

    def end(self, driver: Driver, instance: Instance) -> None:
        """Let it go on. Again: it does. Raises: as `Driver.unquiesce`."""
        driver.unquiesce(instance)
        self._expect(instance.uuid, None)

    def _expect(self, uuid: str, end: threading.Timer | None) -> None:
        with self._lock:
            before = self._ends.pop(uuid, None)
            if end is not None:
                self._ends[uuid] = end
        if before is not None:
            before.cancel()

    def _end_late(self, driver: Driver, instance: Instance) -> None:
        LOG.warning(
            "Nobody let the guest of %s go on for %d s: now it does", instance.uuid, self._most_s
        )
        self._expect(instance.uuid, None)
        try:
            driver.unquiesce(instance)
        except KilonovaError as failed:
            LOG.warning("The guest of %s stays still: %s", instance.uuid, failed)

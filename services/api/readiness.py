# SPDX-License-Identifier: Apache-2.0
"""Whether the API can serve: the conductor answers."""

import threading

from common.clock import Clock
from common.context import service_context
from common.errors import KilonovaError
from common.rpc.conductor.hosts import Hosts

_TRUST_S = 2.0


class Readiness:
    """Asks the conductor when somebody asks us, at most every two seconds."""

    def __init__(self, hosts: Hosts, clock: Clock) -> None:
        self._hosts = hosts
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._problems: dict[str, str] = {}

    def problems(self) -> dict[str, str]:
        """What keeps the API from serving; empty when nothing does."""
        with self._lock:
            if self._clock.monotonic() - self._asked_at >= _TRUST_S:
                self._problems = self._ask()
                self._asked_at = self._clock.monotonic()
            return self._problems

    def _ask(self) -> dict[str, str]:
        try:
            self._hosts.aggregates(service_context())
        except KilonovaError as away:
            return {"conductor": str(away)}
        return {}

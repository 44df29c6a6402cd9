# SPDX-License-Identifier: Apache-2.0
"""A daemon's presence on the bus: it registers, gives signs of life, and answers how it is.

For daemons other than the compute (which registers by its host reports) and the conductor (which
writes its own row).
"""

import logging
import os
import random
import threading
from collections.abc import Callable
from typing import Any

from common import daemon, memory
from common.context import RequestContext, service_context
from common.errors import KilonovaError
from common.objects.daemon_status import DaemonStatus
from common.rpc.conductor.hosts import Hosts
from common.rpc.control import Control
from common.rpc.transport import Bus

LOG = logging.getLogger(__name__)

_RETRY_S = 1.0
# A thread that waits for an answer cannot be interrupted; the process ends without it.
_STOP_S = 3.0


class ControlEndpoint(Control):
    """Says how this daemon is, from the same source as GET /healthz."""

    def __init__(
        self,
        name: str,
        host: str,
        health: Callable[[], dict[str, str]],
        details: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._name, self._host = name, host
        self._health, self._details = health, details

    def status(self, ctx: RequestContext) -> DaemonStatus:
        """How the daemon is; its problems are among the details."""
        problems = self._health()
        return DaemonStatus(
            name=self._name,
            host=self._host,
            release=daemon.RELEASE,
            healthy=not problems,
            pid=os.getpid(),
            uptime_s=round(daemon.uptime_s(), 1),
            memory_mib=round(daemon.memory_mib(), 1),
            details={**self._details(), **({"problems": problems} if problems else {})},
        )


class Presence:
    """Registers `binary` on `host`, then keeps its heartbeats coming; serves `Control`.

    `prepare` is run once a conductor has taken the registration, and is a part of it: where it
    raises a KilonovaError, both are repeated.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        binary: str,
        host: str,
        heartbeat_interval_s: float,
        health: Callable[[], dict[str, str]],
        details: Callable[[], dict[str, Any]] = dict,
        prepare: Callable[[], None] = lambda: None,
        rng: random.Random,
    ) -> None:
        self._binary, self._host, self._interval_s = binary, host, heartbeat_interval_s
        self._hosts = Hosts.client(bus)
        self._prepare = prepare
        self._rng = rng
        control = ControlEndpoint(binary, host, health, details)
        self._server = bus.serve(Control.topic, f"{binary}.{host}", [control], threads=2)
        self._registered = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    @property
    def registered(self) -> bool:
        """Whether a conductor has answered since the start."""
        return self._registered.is_set()

    def wait_until_registered(self) -> None:
        """Return once a conductor has answered, or once this is stopped."""
        self._registered.wait()

    def start(self) -> None:
        """Begin; registration is repeated until a conductor takes it."""
        self._server.start()
        self._thread.start()

    def stop(self) -> None:
        """No more signs of life."""
        self._stopping.set()
        self._registered.set()
        self._thread.join(timeout=_STOP_S)

    def _run(self) -> None:
        while not self._register():
            if self._stopping.wait(_RETRY_S * self._rng.uniform(0.5, 1.5)):
                return
        while not self._stopping.wait(self._interval_s * self._rng.uniform(0.8, 1.0)):
            try:
                self._hosts.heartbeat(service_context(), self._binary, [self._host])
            except KilonovaError as away:
                LOG.warning("No sign of life was sent: %s", away)
            memory.give_back()

    def _register(self) -> bool:
        try:
            self._hosts.register(
                service_context(),
                binary=self._binary,
                host=self._host,
                rpc_server=self._host,
                release=daemon.RELEASE,
            )
            self._prepare()
        except KilonovaError as away:
            LOG.info("Not registered yet: %s", away)
            return False
        self._registered.set()
        return True

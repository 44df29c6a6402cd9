# SPDX-License-Identifier: Apache-2.0
"""Power states that changed by themselves: from hypervisor events and from a slow sweep.

The conductor learns the outcome of operations from their reports; what is told here is only what
nobody asked for, such as a guest that shut itself down. A guest with an operation under way is left
alone, and what an event said is looked up again before it is told: news may be old by then.
"""

import logging
import threading
from collections.abc import Callable

from common.errors import DomainNotFound, KilonovaError
from common.states import PowerState
from services.compute.hosts import Hosts

LOG = logging.getLogger(__name__)

# Guests change state several times in a row (a reboot is a stop and a start): look when it is over.
_SETTLE_S = 0.3

Tell = Callable[[str, dict[str, int]], None]  # (host, power states by instance uuid)
TellStrays = Callable[[str, dict[str, int]], None]  # the same of guests without an instance here
Recorded = Callable[[str], dict[str, int]]  # the conductor's picture of a host


class PowerWatch:
    """Tells the conductor of power states that differ from what it was told last.

    Nothing is told before the first sweep has done `first`, if there is such.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        is_busy: Callable[[str], bool],
        tell: Tell,
        tell_strays: TellStrays,
        recorded: Recorded,
        first: Callable[[], None] | None = None,
    ) -> None:
        self._hosts = hosts
        self._is_busy = is_busy
        self._tell = tell
        self._tell_strays = tell_strays
        self._recorded = recorded
        self._first = first
        self._changed = threading.Condition()
        self._dirty: dict[str, str] = {}
        self._told: dict[str, PowerState] = {}
        self._strays: frozenset[tuple[str, str]] = frozenset()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="power-watch", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(5)

    def sink(self, host: str) -> Callable[[str], None]:
        """What a host's driver calls when an instance's power state may have changed."""

        def changed(instance_uuid: str) -> None:
            with self._changed:
                self._dirty[instance_uuid] = host
                self._changed.notify()

        return changed

    def told(self, instance_uuid: str, state: PowerState | None) -> None:
        """The conductor learns `state` from a report; None when it learns nothing certain."""
        with self._changed:
            if state is None:
                self._told.pop(instance_uuid, None)
            else:
                self._told[instance_uuid] = state

    def sweep(self) -> None:
        """Compare every host's guests with the conductor's picture; tell and log differences.

        Raises: Unavailable (the conductor), HypervisorError.
        """
        self._do_first()
        strays = set()
        for host in self._hosts:
            actual = host.driver.power_states()
            recorded = self._recorded(host.name)
            for uuid, state in recorded.items():
                self._compare(host.name, uuid, PowerState(state), actual.get(uuid))
            found = self._strays_of(host.name, recorded)
            if found:
                self._tell_strays(host.name, found)
            strays |= {(host.name, uuid) for uuid in found}
        for name, uuid in strays - self._strays:
            LOG.warning(
                "Host %s has a guest %s that no instance stands for; left alone", name, uuid
            )
        self._strays = frozenset(strays)

    def _do_first(self) -> None:
        if self._first is None:
            return
        self._first()
        with self._changed:
            self._first = None
            self._changed.notify()

    def _strays_of(self, host: str, recorded: dict[str, int]) -> dict[str, int]:
        # Asked again: a guest may have been built or destroyed since the first look.
        now = self._hosts.driver(host).power_states()
        return {
            uuid: int(state)
            for uuid, state in now.items()
            if uuid not in recorded and not self._is_busy(uuid)
        }

    def _compare(
        self, host: str, uuid: str, recorded: PowerState, actual: PowerState | None
    ) -> None:
        if actual is None and recorded is PowerState.RUNNING and not self._is_busy(uuid):
            LOG.warning("Instance %s has no guest on %s though it should run", uuid, host)
            self._tell_one(host, uuid, PowerState.SHUTDOWN)
        elif actual is not None and actual is not recorded:
            with self._changed:
                self._told[uuid] = recorded
                self._dirty[uuid] = host
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (self._dirty and self._first is None) or self._stopping
                )
                self._changed.wait_for(lambda: self._stopping, timeout=_SETTLE_S)
                if self._stopping:
                    return
                due = {u: h for u, h in self._dirty.items() if not self._is_busy(u)}
                for uuid in due:
                    del self._dirty[uuid]
            for uuid, host in due.items():
                self._look(host, uuid)

    def _look(self, host: str, uuid: str) -> None:
        try:
            state = self._hosts.driver(host).power_state(uuid)
        except DomainNotFound:
            self.told(uuid, None)  # destroyed by us, or missed by the sweep later
            return
        except KilonovaError as failed:
            LOG.warning("Cannot look up the power state of %s: %s", uuid, failed)
            return
        if self._told.get(uuid) is not state and not self._is_busy(uuid):
            self._tell_one(host, uuid, state)

    def _tell_one(self, host: str, uuid: str, state: PowerState) -> None:
        self.told(uuid, state)
        LOG.info("Instance %s is %s now", uuid, state.name)
        self._tell(host, {uuid: int(state)})

# SPDX-License-Identifier: Apache-2.0
"""Guests as the conductor knows them, remembered for a short while.

Guests that boot together ask together: a look-up is put off for as long as more of them come, a
millisecond for one that is alone. While it is under way, those who ask meanwhile gather, and the
next one is for all of them.

While the conductor is away only one request at a time finds out whether it is back; the others are
refused at once, so that waiting guests never use up the threads.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from common.clock import Clock
from common.context import service_context
from common.errors import InstanceNotFound, KilonovaError, Unavailable
from common.objects.guest_metadata import GuestMetadata
from common.objects.instance import Instance
from common.rpc.conductor.metadata import Metadata
from services.metadata.asker import Asker

LOG = logging.getLogger(__name__)

_AWAY_S = 2.0
_MOST_REMEMBERED = 4096
# How long a look-up waits for more guests to ask, and how often it does so again if some have.
_PAUSE_S = 0.001
_MOST_PAUSES = 20


class Guests:
    """Looks guests up; an answer is used again for `cache_s` seconds.

    `pause` waits as many seconds as it is told for more guests to ask.
    """

    def __init__(
        self,
        conductor: Metadata,
        *,
        cache_s: float,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._conductor, self._cache_s, self._clock = conductor, cache_s, clock
        self._pause = pause
        self._lock = threading.Lock()
        self._remembered: OrderedDict[Asker, tuple[float, GuestMetadata]] = OrderedDict()
        self._away_until = 0.0
        self._waiting: dict[Asker, Future[GuestMetadata]] = {}
        self._is_asking = False
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="look-up")

    @property
    def is_away(self) -> bool:
        """Whether the conductor did not answer the last time it was asked."""
        return self._away_until > 0

    def prepare(self) -> None:
        """Look nobody up: the first look-up takes the longest, and no guest is to wait for it.

        Raises: Unavailable.
        """
        self._conductor.find(service_context(), [], [])

    def find(self, asker: Asker) -> GuestMetadata:
        """The guest. Raises: InstanceNotFound (also: not of that project), Unavailable."""
        guest = self.recall(asker)
        return guest if guest is not None else self.ask(asker).result()

    def recall(self, asker: Asker) -> GuestMetadata | None:
        """The guest, if it is remembered."""
        with self._lock:
            until, guest = self._remembered.get(asker, (0.0, None))
            return guest if until > self._clock.monotonic() else None

    def ask(self, asker: Asker) -> "Future[GuestMetadata]":
        """Have the guest looked up, with all those that wait; does not wait itself.

        Raises: Unavailable. The answer is the guest, or raises what `find` does.
        """
        with self._lock:
            if self.is_away and (self._clock.monotonic() < self._away_until or self._is_asking):
                raise Unavailable(service="The conductor service")
            answer = self._waiting.setdefault(asker, Future())
            if not self._is_asking:
                self._is_asking = True
                self._asking.submit(self._look_up_all)
            return answer

    def set_password(self, asker: Asker, guest: GuestMetadata, password: str) -> bool:
        """Keep what the guest posted; False when it had posted one. Raises: Unavailable."""
        kept = self._conductor.set_password(service_context(), guest.instance.uuid, password)
        with self._lock:
            self._remembered.pop(asker, None)
        return kept

    def _look_up_all(self) -> None:
        """Ask for all that wait, until nobody does."""
        self._gather()
        while True:
            with self._lock:
                askers, self._waiting = self._waiting, {}
                if not askers:
                    self._is_asking = False
                    return
            self._look_up(askers)

    def _gather(self) -> None:
        """Wait while more guests come: else one is looked up and a whole crowd waits behind it."""
        came = 0
        for _ in range(_MOST_PAUSES):
            self._pause(_PAUSE_S)
            before, came = came, len(self._waiting)
            if came <= max(before, 1):
                return

    def _look_up(self, askers: Mapping[Asker, "Future[GuestMetadata]"]) -> None:
        try:
            found = _ByName(self._call(list(askers)))
        except KilonovaError as refused:
            for answer in askers.values():
                answer.set_exception(refused)
            return
        except Exception:  # the outermost frame of the thread: nobody waits for ever
            LOG.exception("Looking up %d guests failed", len(askers))
            for answer in askers.values():
                answer.set_exception(Unavailable(service="The conductor service"))
            return
        for asker, answer in askers.items():
            guest = found.of(asker)
            if guest is None:
                answer.set_exception(InstanceNotFound(instance=asker.instance or asker.address))
            else:
                self._remember(asker, guest)
                answer.set_result(guest)

    def _remember(self, asker: Asker, guest: GuestMetadata) -> None:
        with self._lock:
            self._remembered[asker] = (self._clock.monotonic() + self._cache_s, guest)
            self._remembered.move_to_end(asker)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    def _call(self, askers: Sequence[Asker]) -> list[GuestMetadata]:
        uuids = [asker.instance for asker in askers if asker.instance is not None]
        addresses = [asker.address for asker in askers if asker.address is not None]
        if self._clock.monotonic() < self._away_until:
            raise Unavailable(service="The conductor service")
        try:
            found = self._conductor.find(service_context(), uuids, addresses)
        except Unavailable:
            self._away_until = self._clock.monotonic() + _AWAY_S
            raise
        except KilonovaError:
            self._away_until = 0.0  # a refusal is an answer
            raise
        self._away_until = 0.0
        return found


class _ByName:
    """What a look-up found, by uuid and by address."""

    def __init__(self, found: Sequence[GuestMetadata]) -> None:
        self._by_uuid = {guest.instance.uuid: guest for guest in found}
        self._by_address: dict[str, list[GuestMetadata]] = {}
        for guest in found:
            for address in _addresses(guest.instance):
                self._by_address.setdefault(address, []).append(guest)

    def of(self, asker: Asker) -> GuestMetadata | None:
        """The guest that asks: the one that fits, if it is one alone, and of the project named."""
        if asker.instance is None:
            fitting = self._by_address.get(asker.address or "", [])
            return fitting[0] if len(fitting) == 1 else None
        guest = self._by_uuid.get(asker.instance)
        if guest is None or asker.project not in (None, guest.instance.project_id):
            return None
        return guest


def _addresses(instance: Instance) -> set[str]:
    return {ip.address for vif in instance.vifs for ip in vif.fixed_ips}

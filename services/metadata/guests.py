# SPDX-License-Identifier: Apache-2.0
"""Guests as the conductor knows them, remembered for a short while.

Guests that boot together ask together: while one look-up is under way, those who ask meanwhile
gather, and the next one is for all of them.

While the conductor is away only one request at a time finds out whether it is back; the others are
refused at once, so that waiting guests never use up the threads.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future

from common.clock import Clock
from common.context import service_context
from common.errors import InstanceNotFound, KilonovaError, Unavailable
from common.objects.guest_metadata import GuestMetadata
from common.objects.instance import Instance
from common.rpc.conductor.metadata import Metadata
from services.metadata.asker import Asker

_AWAY_S = 2.0
_MOST_REMEMBERED = 4096


class Guests:
    """Looks guests up; an answer is used again for `cache_s` seconds."""

    def __init__(self, conductor: Metadata, *, cache_s: float, clock: Clock) -> None:
        self._conductor, self._cache_s, self._clock = conductor, cache_s, clock
        self._lock = threading.Lock()
        self._remembered: OrderedDict[Asker, tuple[float, GuestMetadata]] = OrderedDict()
        self._away_until = 0.0
        self._waiting: dict[Asker, Future[GuestMetadata]] = {}
        self._turn = threading.Lock()

    @property
    def is_away(self) -> bool:
        """Whether the conductor did not answer the last time it was asked."""
        return self._away_until > 0

    def find(self, asker: Asker) -> GuestMetadata:
        """The guest. Raises: InstanceNotFound (also: not of that project), Unavailable."""
        guest = self._recall(asker)
        if guest is None:
            guest = self._ask(asker)
            if asker.project is not None and asker.project != guest.instance.project_id:
                raise InstanceNotFound(instance=asker.instance)
            self._remember(asker, guest)
        return guest

    def set_password(self, asker: Asker, guest: GuestMetadata, password: str) -> bool:
        """Keep what the guest posted; False when it had posted one. Raises: Unavailable."""
        kept = self._conductor.set_password(service_context(), guest.instance.uuid, password)
        with self._lock:
            self._remembered.pop(asker, None)
        return kept

    def _recall(self, asker: Asker) -> GuestMetadata | None:
        with self._lock:
            until, guest = self._remembered.get(asker, (0.0, None))
            return guest if until > self._clock.monotonic() else None

    def _remember(self, asker: Asker, guest: GuestMetadata) -> None:
        with self._lock:
            self._remembered[asker] = (self._clock.monotonic() + self._cache_s, guest)
            self._remembered.move_to_end(asker)
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)

    def _ask(self, asker: Asker) -> GuestMetadata:
        if self.is_away and (self._clock.monotonic() < self._away_until or self._turn.locked()):
            raise Unavailable(service="The conductor service")
        with self._lock:
            answer = self._waiting.setdefault(asker, Future())
        with self._turn:
            if not answer.done():  # else whoever had the turn before asked for us as well
                self._look_up()
        return answer.result()

    def _look_up(self) -> None:
        """Ask for all that wait now."""
        with self._lock:
            askers, self._waiting = self._waiting, {}
        try:
            found = self._call(list(askers))
            for asker, answer in askers.items():
                _settle(asker, answer, found)
        except KilonovaError as refused:
            for answer in askers.values():
                answer.set_exception(refused)
        finally:
            # Whatever happens, nobody waits for ever.
            for answer in askers.values():
                if not answer.done():
                    answer.set_exception(Unavailable(service="The conductor service"))

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


def _settle(asker: Asker, answer: "Future[GuestMetadata]", found: Sequence[GuestMetadata]) -> None:
    """Tell who asks which of the guests it is: the one that fits, if it is one alone."""
    fitting = [guest for guest in found if _is(guest.instance, asker)]
    if len(fitting) == 1:
        answer.set_result(fitting[0])
    else:
        answer.set_exception(InstanceNotFound(instance=asker.instance or asker.address))


def _is(instance: Instance, asker: Asker) -> bool:
    if asker.instance is not None:
        return instance.uuid == asker.instance
    return any(ip.address == asker.address for vif in instance.vifs for ip in vif.fixed_ips)

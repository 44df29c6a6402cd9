# SPDX-License-Identifier: Apache-2.0
"""Guests as the conductor knows them, remembered for a short while.

While the conductor is away only one request at a time finds out whether it is back; the others are
refused at once, so that waiting guests never use up the threads.
"""

import threading
from collections import OrderedDict

from common.clock import Clock
from common.context import service_context
from common.errors import InstanceNotFound, KilonovaError, Unavailable
from common.objects.guest_metadata import GuestMetadata
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
        self._probe = threading.Lock()

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
        if not self.is_away:
            return self._call(asker)
        if self._clock.monotonic() < self._away_until or not self._probe.acquire(blocking=False):
            raise Unavailable(service="The conductor service")
        try:
            return self._call(asker)
        finally:
            self._probe.release()

    def _call(self, asker: Asker) -> GuestMetadata:
        try:
            guest = self._fetch(asker)
        except Unavailable:
            self._away_until = self._clock.monotonic() + _AWAY_S
            raise
        except KilonovaError:
            self._away_until = 0.0  # a refusal is an answer
            raise
        self._away_until = 0.0
        return guest

    def _fetch(self, asker: Asker) -> GuestMetadata:
        if asker.instance is not None:
            return self._conductor.by_instance(service_context(), asker.instance)
        return self._conductor.by_address(service_context(), asker.address or "")

# SPDX-License-Identifier: Apache-2.0
"""Taking in what other services tell of instances, and handing it to whom it concerns."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.engine import Connection

from common.errors import InstanceNotFound, KilonovaError
from common.objects.external_event import ExternalEvent
from services.conductor.db import instances
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)

# Acts on an event of its kind; may take its time, and may raise any KilonovaError.
Handler = Callable[[ExternalEvent], None]
TAKEN, UNTAGGED, UNKNOWN, ON_NO_HOST = 200, 400, 404, 422
_TAGGED = frozenset(("volume-extended", "power-update", "accelerator-request-bound"))


class AcceptExternalEvents:
    """`handlers` by event name; events that nobody handles are taken in and forgotten.

    `later` runs work in the background: who tells of an event does not wait for its effects.
    """

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Handler],
        *,
        later: Callable[[Callable[[], None]], None],
        down_after_s: float,
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._later = later
        self._down_after_s = down_after_s

    def deliver(self, events: Sequence[ExternalEvent]) -> list[int]:
        """A code for each event. Again: handlers act once more."""
        with self._database.read() as conn:
            codes = [self._code(conn, event) for event in events]
        for event, code in zip(events, codes, strict=True):
            handler = self._handlers.get(event.name)
            if code == TAKEN and handler is not None:
                self._later(functools.partial(_handle, handler, event))
        return codes

    def _code(self, conn: Connection, event: ExternalEvent) -> int:
        try:
            found = instances.get(conn, event.server_uuid, down_after_s=self._down_after_s)
        except InstanceNotFound:
            return UNKNOWN
        if found.host is None:
            return ON_NO_HOST
        return UNTAGGED if event.name in _TAGGED and not event.tag else TAKEN


def _handle(handler: Handler, event: ExternalEvent) -> None:
    LOG.debug("%s of %s: %s", event.name, event.server_uuid, event.tag)
    try:
        handler(event)
    except KilonovaError as refused:
        LOG.warning(
            "%s of %s (%s) had no effect: %s", event.name, event.server_uuid, event.tag, refused
        )

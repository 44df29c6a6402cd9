# SPDX-License-Identifier: Apache-2.0
"""What tokens open, by the conductor's word."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from common.clock import Clock
from common.context import service_context
from common.errors import ConsoleTokenNotFound, HostDown, KilonovaError, Unavailable
from common.objects.console import Console, ConsoleType
from common.rpc.conductor.consoles import Consoles
from services.console.asked import Asked
from services.console.refusals import Refused

LOG = logging.getLogger(__name__)

_THREADS = 16
_MOST_WAITING = 64
# So long a conductor that did not answer counts as away: nobody may ask again for hours.
_AWAY_S = 30.0


class Tickets:
    """Asks the conductor, a bounded number of questions at a time."""

    def __init__(self, conductor: Consoles, clock: Clock) -> None:
        self._conductor = conductor
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tickets")
        self._waiting = 0
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether the conductor did not answer a moment ago."""
        return self._clock.monotonic() < self._away_until

    async def check(self, asked: Asked, console_type: ConsoleType) -> Console:
        """What the token opens, when that is a console of this type. Raises: Refused."""
        if not asked.token:
            raise Refused(401, "There is no token in this address: ask for the console's URL.")
        if not asked.has_plausible_token:
            raise _unknown()
        if self._waiting >= _MOST_WAITING:
            raise Refused(503, "Too many consoles are being opened at this moment: try again.")
        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._find, asked.token
            )
        finally:
            self._waiting -= 1
        if found.console_type is not console_type:
            raise Refused(403, f"This address is for a console of type {found.console_type}.")
        return found

    def close(self) -> None:
        """Ask nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _find(self, token: str) -> Console:
        try:
            found = self._conductor.find(service_context(), token)
        except Unavailable as away:
            self._away_until = self._clock.monotonic() + _AWAY_S
            LOG.warning("A token could not be checked: %s", away)
            raise Refused(503, "The compute service does not answer: try again.") from away
        except KilonovaError as refusal:
            self._away_until = 0.0  # a refusal is an answer
            raise _refused(refusal) from refusal
        self._away_until = 0.0
        return found


def _refused(error: KilonovaError) -> Refused:
    if isinstance(error, ConsoleTokenNotFound):
        return _unknown()
    if isinstance(error, HostDown):
        return Refused(503, "The server's host does not answer: try again later.")
    LOG.error("A token could not be checked: %s", error)
    return Refused(500, "The console cannot be opened: its operator finds the reason in the log.")


def _unknown() -> Refused:
    return Refused(
        403,
        "This address is not known, has expired, or was for the server as it was before: "
        "ask for the console's URL anew.",
    )

# SPDX-License-Identifier: Apache-2.0
"""Hearing: a host is silent only while somebody listens.

Conductors send their own heartbeats over the bus as everybody does. While none of these arrives
(no conductor ran, or the broker was away), no host is held to be down; afterwards every host's
silence is counted on from where it was.
"""

import logging
from datetime import datetime

from services.conductor.db import hearing
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)


class Hearing:
    """Deaf means: no heartbeat of any conductor for `deaf_after_s` seconds."""

    def __init__(self, database: Database, *, deaf_after_s: float) -> None:
        self._database = database
        self._deaf_after_s = deaf_after_s
        self._deaf_since: datetime | None = None

    @property
    def is_deaf(self) -> bool:
        """Whether nobody was heard when that was looked at last."""
        return self._deaf_since is not None

    def begin(self) -> None:
        """Call it before this conductor counts as heard. Raises: Unavailable.

        Whatever time has passed since a conductor was heard last is forgiven, however short: one
        that dies again and again writes nobody's heartbeats down.
        """
        with self._database.begin() as conn:
            heard_at, _ = hearing.last_heard(conn, deaf_after_s=self._deaf_after_s)
            if heard_at is not None:
                hearing.forgive(conn, heard_at)

    def listen(self) -> bool:
        """Whether the silence of a host means something now; to be asked regularly.

        Raises: Unavailable.
        """
        with self._database.begin() as conn:
            heard_at, is_deaf = hearing.last_heard(conn, deaf_after_s=self._deaf_after_s)
            if not is_deaf and self._deaf_since is not None:
                hearing.forgive(conn, self._deaf_since)
        if is_deaf:
            self._deaf_since = self._deaf_since or heard_at
            return False
        if self._deaf_since is not None:
            LOG.warning("Nobody was heard since %s; no host is blamed for it", self._deaf_since)
            self._deaf_since = None
        return True

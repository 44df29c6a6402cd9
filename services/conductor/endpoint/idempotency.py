# SPDX-License-Identifier: Apache-2.0
"""The `idempotency` interface."""

from common.context import RequestContext
from common.objects.kept_request import KeptRequest
from common.rpc.conductor.idempotency import Idempotency
from services.conductor.db import idempotency
from services.conductor.db.engine import Database

_MOST_PURGED = 10_000


class IdempotencyEndpoint(Idempotency):
    """Keeps keys and sealed answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, ctx: RequestContext, key: str, *, fingerprint: str) -> KeptRequest | None:
        with self._database.begin() as conn:
            return idempotency.take(conn, key, fingerprint)

    def finish(self, ctx: RequestContext, key: str, *, answer: str) -> None:
        with self._database.begin() as conn:
            idempotency.keep_answer(conn, key, answer)

    def forget(self, ctx: RequestContext, key: str) -> None:
        with self._database.begin() as conn:
            idempotency.give_back(conn, key)

    def purge(self) -> None:
        """A chore: forget what is past its day."""
        with self._database.begin() as conn:
            idempotency.purge(conn, most=_MOST_PURGED)

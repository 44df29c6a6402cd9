# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Keys, kept for a day."""

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from common.objects.kept_request import KeptRequest
from services.conductor.db.idempotency_tables import idempotency_keys

_k = idempotency_keys.c
_EXPIRED_BEFORE = func.now() - text("interval '24 hours'")


def take(conn: Connection, key: str, fingerprint: str) -> KeptRequest | None:
    """Take `key`; None when it is now taken, else the request that has it.

    One statement decides, so of two requests at once one wins. A key past its day is free.
    """
    fresh = insert(idempotency_keys).values(key=key, fingerprint=fingerprint)
    taken = conn.execute(
        fresh.on_conflict_do_update(
            index_elements=[_k.key],
            set_={"fingerprint": fingerprint, "answer": None, "created_at": func.now()},
            where=_k.created_at < _EXPIRED_BEFORE,
        ).returning(_k.key)
    ).one_or_none()
    if taken is not None:
        return None
    row = conn.execute(select(_k.fingerprint, _k.answer).where(_k.key == key)).one_or_none()
    # Given back between the two statements: whoever asks again takes it.
    return KeptRequest(fingerprint=row.fingerprint if row else fingerprint,
                       answer=row.answer if row else None)  # fmt: skip


def keep_answer(conn: Connection, key: str, answer: str) -> None:
    """Keep the answer of the request that has `key`."""
    conn.execute(update(idempotency_keys).where(_k.key == key).values(answer=answer))


def give_back(conn: Connection, key: str) -> None:
    """Forget a key."""
    conn.execute(delete(idempotency_keys).where(_k.key == key))


def purge(conn: Connection, *, most: int) -> int:
    """Delete up to `most` keys past their day; how many there were."""
    old = select(_k.key).where(_k.created_at < _EXPIRED_BEFORE).limit(most)
    return conn.execute(delete(idempotency_keys).where(_k.key.in_(old))).rowcount

# SPDX-License-Identifier: Apache-2.0
"""Keypairs of users: public keys only."""

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from common.errors import Invalid, KeypairExists, KeypairNotFound
from common.objects.keypair import Keypair
from services.conductor.db.tables import keypairs

_k = keypairs.c
_WHOLE = select(*(_k[name] for name in Keypair.__struct_fields__))


def list_keypairs(
    conn: Connection, user_id: str, *, limit: int | None = None, marker: str | None = None
) -> list[Keypair]:
    """A user's keypairs by name, those behind `marker`. Raises: Invalid (unknown marker)."""
    query = _WHOLE.where(_k.user_id == user_id).order_by(_k.name)
    if marker is not None:
        known = select(_k.id).where(_k.user_id == user_id, _k.name == marker)
        if conn.execute(known).one_or_none() is None:
            raise Invalid(f"marker [{marker}] not found")
        query = query.where(_k.name > marker)
    if limit is not None:
        query = query.limit(limit)
    return [Keypair(**row) for row in conn.execute(query).mappings()]


def get(conn: Connection, user_id: str, name: str) -> Keypair:
    """One keypair. Raises: KeypairNotFound."""
    row = conn.execute(_WHOLE.where(_k.user_id == user_id, _k.name == name)).one_or_none()
    if row is None:
        raise KeypairNotFound(name=name, user=user_id)
    return Keypair(**row._mapping)


def add(conn: Connection, keypair: Keypair) -> Keypair:
    """Keep a keypair. Raises: KeypairExists."""
    row = conn.execute(
        insert(keypairs)
        .values(
            user_id=keypair.user_id, name=keypair.name, type=keypair.type,
            fingerprint=keypair.fingerprint, public_key=keypair.public_key,
        )
        .on_conflict_do_nothing()
        .returning(*_WHOLE.selected_columns)
    ).one_or_none()  # fmt: skip
    if row is None:
        raise KeypairExists(name=keypair.name)
    return Keypair(**row._mapping)


def remove(conn: Connection, user_id: str, name: str) -> None:
    """Delete a keypair. Raises: KeypairNotFound."""
    if not conn.execute(delete(keypairs).where(_k.user_id == user_id, _k.name == name)).rowcount:
        raise KeypairNotFound(name=name, user=user_id)


def count(conn: Connection, user_id: str) -> int:
    """How many keypairs a user has."""
    return conn.execute(select(func.count()).where(_k.user_id == user_id)).scalar_one()

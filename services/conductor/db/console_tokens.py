# SPDX-License-Identifier: Apache-2.0
"""Tokens that open consoles, kept as digests.

A token is for the guest as it was: it holds while the instance is not deleted, is on the same host
and has not been made anew there since (`launched_at`). So no operation has to remember that there
may be tokens to take back.
"""

import hashlib

from sqlalchemy import (
    ColumnElement,
    Float,
    Text,
    and_,
    cast,
    delete,
    exists,
    extract,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection

from common.errors import ConsoleTokenNotFound, InstanceNotReady
from common.objects.console import Console, ConsoleAddress, ConsoleType
from services.conductor.db.console_token_tables import console_tokens
from services.conductor.db.tables import instances

_t, _i = console_tokens.c, instances.c
_IS_THE_GUEST = and_(
    _i.uuid == _t.instance_uuid,
    _i.host == _t.instance_host,
    _i.launched_at.is_not_distinct_from(_t.launched_at),
    _i.deleted_at.is_(None),
)


def add(
    conn: Connection,
    token: str,
    *,
    instance: str,
    instance_host: str,
    console_type: ConsoleType,
    address: ConsoleAddress,
    ttl_s: int,
) -> None:
    """Keep `token` for `ttl_s` seconds. Raises: InstanceNotReady (it has left `instance_host`)."""
    guest = select(
        literal(_digest(token), Text),
        _i.uuid,
        literal(console_type, Text),
        _i.host,
        _i.launched_at,
        literal(address.host, Text),
        literal(address.port),
        literal(address.tls_port, _t.tls_port.type),
        literal(address.internal_access_path, Text),
        func.now() + _seconds(ttl_s),
    ).where(_i.uuid == instance, _i.host == instance_host, _i.deleted_at.is_(None))
    columns = [
        "token_hash", "instance_uuid", "console_type", "instance_host", "launched_at",
        "host", "port", "tls_port", "internal_access_path", "expires_at",
    ]  # fmt: skip
    if not conn.execute(insert(console_tokens).from_select(columns, guest)).rowcount:
        raise InstanceNotReady(instance=instance)


def get(conn: Connection, token: str) -> tuple[Console, str]:
    """What `token` opens, and the host of its instance. Raises: ConsoleTokenNotFound."""
    left_s = cast(extract("epoch", _t.expires_at - func.now()), Float).label("left_s")
    row = conn.execute(
        select(*_t, left_s)
        .join(instances, _IS_THE_GUEST)
        .where(_t.token_hash == _digest(token), _t.expires_at > func.now())
    ).one_or_none()
    if row is None:
        raise ConsoleTokenNotFound
    console = Console(
        instance_uuid=row.instance_uuid,
        console_type=ConsoleType(row.console_type),
        address=ConsoleAddress(
            host=row.host,
            port=row.port,
            tls_port=row.tls_port,
            internal_access_path=row.internal_access_path,
        ),
        left_s=row.left_s,
    )
    return console, row.instance_host


def forget(conn: Connection, token: str) -> None:
    """Have `token` open nothing any more. Again: it does not."""
    conn.execute(delete(console_tokens).where(_t.token_hash == _digest(token)))


def purge(conn: Connection, *, most: int) -> int:
    """Delete up to `most` tokens that open nothing any more; how many there were."""
    is_dead = or_(_t.expires_at <= func.now(), ~exists().where(_IS_THE_GUEST))
    dead = select(_t.token_hash).where(is_dead).limit(most)
    return conn.execute(delete(console_tokens).where(_t.token_hash.in_(dead))).rowcount


def _digest(token: str) -> str:
    """A token as it is kept: who reads the table opens nothing with it.

    Tokens are random and long, so the digest needs no salt and no slowness, and being looked up by
    it a token gives nothing away by how long the look takes.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _seconds(count: float) -> ColumnElement[object]:
    return func.make_interval(0, 0, 0, 0, 0, 0, count)

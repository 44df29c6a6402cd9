# SPDX-License-Identifier: Apache-2.0
"""The pool of connections to PostgreSQL, and what its failures mean to callers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import create_engine, event, text
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection, Engine

from common.errors import Invalid, Unavailable
from common.observability import counters

# SQLSTATE classes by which PostgreSQL says that it cannot work now: connection exceptions,
# too many connections, shutting down or starting up, disk full or out of memory.
_AWAY = ("08", "53", "57P")
_TIMED_OUT = "57014"
# What only a client's words can bring about, by SQLSTATE.
_CLIENTS_FAULT = {
    "2201B": "Invalid regular expression",
    "22003": "Number out of range",
    "22007": "Invalid time",
    "22008": "Invalid time",
    "22021": "Invalid text",
    "22P05": "Invalid text",
}

_encoder = msgspec.json.Encoder()


def _count(*_: object) -> None:
    counters.count("sql_statements")


def _encode(value: object) -> str:
    return _encoder.encode(value).decode()


class Database:
    """One process's pool. Make it after a fork; threads share it."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        connect_timeout_s: int = 3,
        statement_timeout_s: int = 20,
        application_name: str = "kilonova-conductor",
    ) -> None:
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=connect_timeout_s,
            # The one used last: PostgreSQL's process behind it has what statements need at hand,
            # while one that is new to a statement takes several times as long.
            pool_use_lifo=True,
            # JSONB columns take objects of common/objects as they are.
            json_serializer=_encode,
            json_deserializer=msgspec.json.decode,
            connect_args={
                "connect_timeout": connect_timeout_s,
                "application_name": application_name,
                "options": f"-c timezone=UTC -c statement_timeout={statement_timeout_s * 1000}",
                # A peer that vanished without a word is noticed in seconds, not in hours.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        event.listen(self.engine, "before_cursor_execute", _count)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection with a transaction: committed at the end, rolled back on an error.

        Raises: Unavailable when the database does not answer; the pool then drops the connections
        it had and makes new ones, so nothing needs a restart. Invalid for words of a client that
        PostgreSQL cannot work with: a bad regular expression or time, a NUL character. Other errors
        of SQL pass through: serialization failures and deadlocks are the caller's to repeat.
        """
        with self._spoken(), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection without a transaction, for reads: two messages less for a statement.

        Raises: as `begin`.
        """
        with self._spoken(), self.engine.connect() as conn:
            # Of psycopg2 itself and not SQLAlchemy's isolation level, which costs what it saves.
            raw: Any = conn.connection.dbapi_connection
            raw.autocommit = True
            try:
                yield conn
            finally:
                if not raw.closed:
                    raw.autocommit = False

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Turns what the database and its driver say into our errors."""
        try:
            yield
        except sa.TimeoutError as exhausted:
            raise Unavailable(service="The database") from exhausted
        except sa.DBAPIError as failure:
            code = sqlstate(failure)
            if code == _TIMED_OUT:
                raise Unavailable(service="The database") from failure
            if code in _CLIENTS_FAULT:
                said = str(failure.orig).splitlines()[0]
                raise Invalid(f"{_CLIENTS_FAULT[code]}: {said}") from failure
            if not is_away(failure):
                raise
            self.engine.dispose()
            raise Unavailable(service="The database") from failure
        except ValueError as refused:
            # psycopg2 refuses the one character that PostgreSQL's texts cannot hold.
            if "NUL" not in str(refused):
                raise
            raise Invalid("A text must not contain the NUL character.") from refused

    def check(self) -> None:
        """Make sure that the database answers. Raises Unavailable."""
        with self.read() as conn:
            conn.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close idle connections; those in use close when they are given back."""
        self.engine.dispose()


def is_away(failure: sa.DBAPIError) -> bool:
    """Whether an error says that the database is away, rather than that a statement is wrong."""
    if failure.connection_invalidated:
        return True
    code = sqlstate(failure)
    if code is None:
        # libpq itself gave up: it has no SQLSTATE for a server that it does not reach, and no
        # class of error for one that closes the connection amid an answer.
        lost = isinstance(failure, sa.OperationalError | sa.InterfaceError)
        return lost or type(failure) is sa.DatabaseError
    return code.startswith(_AWAY)


def sqlstate(failure: sa.DBAPIError) -> str | None:
    """PostgreSQL's five-character code of an error; None when the error is not the server's."""
    code: str | None = getattr(failure.orig, "pgcode", None)
    return code

# SPDX-License-Identifier: Apache-2.0
"""The pool of connections to PostgreSQL, and what its failures mean to callers."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection, Engine

from common.errors import Unavailable

# SQLSTATE classes by which PostgreSQL says that it cannot work now: connection exceptions,
# too many connections, shutting down or starting up, disk full or out of memory.
_AWAY = ("08", "53", "57P")


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
            # A statement of SQLAlchemy's compiled once is found again by its structure.
            query_cache_size=1500,
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

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A connection with a transaction: committed at the end, rolled back on an error.

        Raises Unavailable when the database does not answer; the pool then drops the connections
        it had and makes new ones, so nothing needs a restart. Other errors of SQL pass through:
        serialization failures and deadlocks are the caller's to repeat.
        """
        try:
            with self.engine.begin() as conn:
                yield conn
        except sa.TimeoutError as exhausted:
            raise Unavailable(service="The database") from exhausted
        except sa.DBAPIError as failure:
            if not is_away(failure):
                raise
            self.engine.dispose()
            raise Unavailable(service="The database") from failure

    def check(self) -> None:
        """Make sure that the database answers. Raises Unavailable."""
        with self.begin() as conn:
            conn.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close idle connections; those in use close when they are given back."""
        self.engine.dispose()


def is_away(failure: sa.DBAPIError) -> bool:
    """Whether an error says that the database is away, rather than that a statement is wrong."""
    if failure.connection_invalidated:
        return True
    code = getattr(failure.orig, "pgcode", None)
    if code is None:
        # libpq itself gave up: it has no SQLSTATE for a server that it does not reach.
        return isinstance(failure, sa.OperationalError | sa.InterfaceError)
    return str(code).startswith(_AWAY)

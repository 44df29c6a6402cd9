# SPDX-License-Identifier: Apache-2.0
"""The SQLite file: many readers and one writer at a time, in one process or several.

Write-ahead logging lets readers go on while somebody writes. A write takes the lock when its
transaction begins, so what it read before it writes is still true when it commits.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection, Engine

from services.companion.store import tables

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_MS = 10_000


class Store:
    """The companion's state. Make it after a fork; threads share it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = _engine(path)
        self._writing = self._engine.execution_options(immediate=True)
        # Threads of this process wait here, in order, rather than in SQLite's busy loop.
        self._lock = threading.Lock()
        with self.write() as conn:
            _create_tables(conn)
        # Tokens and password hashes are nobody else's to read.
        path.chmod(0o600)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one state of the store."""
        with self._engine.begin() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection that alone writes: committed at the end, rolled back on an error."""
        with self._lock, self._writing.begin() as conn:
            yield conn

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()


def _engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=32,
        max_overflow=0,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin` chooses their kind.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        # A power cut may cost the last writes, never the file; a killed process costs nothing.
        "synchronous = NORMAL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(conn: Connection) -> None:
    immediate = conn.get_execution_options().get("immediate", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _create_tables(conn: Connection) -> None:
    version = conn.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > SCHEMA_VERSION:
        raise RuntimeError(
            f"The store is of version {version}; this release knows {SCHEMA_VERSION}."
        )
    tables.metadata.create_all(conn)
    conn.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

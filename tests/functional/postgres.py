# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL for tests: one cluster a process of the run, one database a module.

It is started for the first test that asks. The cluster listens on a unix socket in its own folder
only, so runs side by side never meet. It does not sync to disk: a killed server still loses
nothing, a killed machine may. Who stops it leaves it running for the tests that follow: `away`.
"""

import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from services.conductor.db import revisions
from services.conductor.db.engine import Database
from tests import ours

__all__ = [
    "Queries",
    "database",
    "database_url",
    "module_pool",
    "new_database",
    "postgres",
    "queries",
    "schema_template",
]


class Postgres:
    """A cluster in a temporary folder, owned and run by `postgres` where we are root.

    `durable`: sync to disk as a real one does, for benchmarks.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self.folder = ours.folder("pg")
        self._as_owner: list[str] = []
        if os.getuid() == 0:
            self._as_owner = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.folder, "postgres")
        self.folder.chmod(0o755)
        self._data = self.folder / "data"
        self._numbers = itertools.count(1)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C.UTF-8", "--no-sync")  # fmt: skip

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [*self._as_owner, str(_bindir() / program), *map(str, arguments)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=60, cwd="/"
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        # With many databases, autovacuum is at work all the time unless it takes long naps.
        hurried = (
            "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            " -c autovacuum_naptime=60s"
        )
        options = (
            f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
            " -c max_connections=200 -c shared_buffers=64MB "
            + ("-c autovacuum_naptime=5s" if self._durable else hurried)
        )
        self._run(
            "pg_ctl", "-D", self._data, "-l", self._data / "log", "-w", "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop the server at once; connections are cut."""
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        """Stop the server without a checkpoint, as a crash would; the next `start` recovers."""
        file = self._data / "postmaster.pid"
        os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 20
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    @contextmanager
    def away(self, *, killed: bool = False) -> Iterator[None]:
        """Stop the server, or kill it, for the time of the block."""
        (self.kill if killed else self.stop)()
        try:
            yield
        finally:
            self.start()

    def url(self, name: str) -> str:
        """SQLAlchemy URL of database `name`."""
        return f"postgresql+psycopg2://postgres@/{name}?host={self.folder}"

    def create(self, *, template: str = "template1") -> str:
        """A fresh copy of database `template`; its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run a statement in database `name`, outside any pool."""
        self._run("psql", "-h", self.folder, "-U", "postgres", "-qc", statement, name)

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


def _bindir() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    return Path(initdb).parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running cluster, gone with this process of the test run."""
    cluster = Postgres()
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def schema_template(postgres: Postgres) -> str:
    name = postgres.create()
    database = Database(postgres.url(name))
    with database.begin() as conn:
        revisions.upgrade(conn)
    database.close()
    return name


@pytest.fixture(scope="session")
def new_database(postgres: Postgres, schema_template: str) -> Callable[[], str]:
    """Makes a database with the current schema; its URL. It goes with the cluster."""
    return lambda: postgres.url(postgres.create(template=schema_template))


@pytest.fixture(scope="module")
def database_url(postgres: Postgres, schema_template: str) -> Iterator[str]:
    """A database of this module's own, with the current schema."""
    name = postgres.create(template=schema_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="module")
def module_pool(database_url: str) -> Iterator[Database]:
    """Connections for all tests of a module: new ones plan and compile every statement anew."""
    made = Database(database_url, pool_size=8, connect_timeout_s=2)
    yield made
    made.close()


@pytest.fixture
def database(module_pool: Database) -> Iterator[Database]:
    """A pool on the module's database; every table is emptied after the test."""
    yield module_pool
    with module_pool.begin() as conn:
        names = conn.exec_driver_sql(
            "SELECT quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).scalars()
        looks = " UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in names)
        # To truncate a table takes longer than to look into all of them.
        if full := conn.exec_driver_sql(looks).scalars().all():
            conn.exec_driver_sql(f"TRUNCATE {','.join(full)} RESTART IDENTITY CASCADE")


class Queries:
    """Counts the statements that a pool sends."""

    def __init__(self, database: Database) -> None:
        self.sent: list[str] = []
        self._engine = database.engine
        event.listen(self._engine, "before_cursor_execute", self._note)

    def stop(self) -> None:
        """Count no more."""
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, _conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        self.sent.append(statement)

    @contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Fails when the block sends more than `count` statements."""
        before = len(self.sent)
        yield
        sent = self.sent[before:]
        assert len(sent) <= count, f"{len(sent)} statements, not {count}: {sent}"


@pytest.fixture
def queries(database: Database) -> Iterator[Queries]:
    """Counter of the statements that go through `database`."""
    made = Queries(database)
    yield made
    made.stop()

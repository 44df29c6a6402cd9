# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL cluster of our own, on a loopback port; the system's clusters are not touched."""

import shutil
from pathlib import Path

from deploy.bringup.commands import run, succeeds
from deploy.bringup.failures import Failed
from deploy.bringup.paths import Paths, write
from deploy.bringup.program import Program, revision_of

_OWNER = "postgres"
_ROLE = _DATABASE = "kilonova"


class PostgreSql:
    """The cluster's files, program and database."""

    def __init__(self, paths: Paths, port: int) -> None:
        self._paths, self._port = paths, port
        self._data = paths.state / "postgresql"
        self._run = paths.run / "postgresql"
        self._options = self._data / "kilonova.conf"

    def prepare(self) -> None:
        """Make the cluster unless it is there. A half-made one is made again."""
        self._run.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._run, _OWNER, _OWNER)
        if not (self._data / "PG_VERSION").exists():
            fresh = self._data.with_name("postgresql.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            shutil.chown(fresh, _OWNER, _OWNER)
            # peer: root and postgres themselves over the socket; scram: everybody over TCP
            run(_program("initdb"), "-D", fresh, "-U", _OWNER, "-E", "UTF8", "--locale=C.UTF-8",
                "--auth-local=peer", "--auth-host=scram-sha-256", user=_OWNER)  # fmt: skip
            with (fresh / "postgresql.conf").open("a") as file:
                file.write("\ninclude_if_exists = 'kilonova.conf'\n")
            fresh.rename(self._data)
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "port": self._port,
            "unix_socket_directories": f"'{self._run}'",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "log_timezone": "'UTC'",
        }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        if write(self._options, text, 0o600):
            shutil.chown(self._options, _OWNER, _OWNER)

    def program(self) -> Program:
        """The server. SIGINT asks it for a fast shutdown: clients are cut, data is safe."""
        return Program(
            name="postgresql",
            command=(str(_program("postgres")), "-D", str(self._data)),
            log=str(self._paths.log / "postgresql.log"),
            user=_OWNER,
            stop_signal="SIGINT",
            revision=revision_of(self._options),
        )

    def health(self) -> str:
        """What is wrong; empty when it takes connections."""
        ready = succeeds(_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port))
        return "" if ready else "does not take connections"

    def make_database(self, password: str) -> None:
        """Make role and database unless they are there; the role gets this password."""
        self._sql(
            f"""
            DO $$ BEGIN
              IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{_ROLE}') THEN
                CREATE ROLE {_ROLE} LOGIN;
              END IF;
            END $$;
            ALTER ROLE {_ROLE} PASSWORD '{password}';
            SELECT 'CREATE DATABASE {_DATABASE} OWNER {_ROLE}'
              WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{_DATABASE}') \\gexec
            """
        )

    def _sql(self, statements: str) -> None:
        run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", self._run, "-p", str(self._port),
            "-d", "postgres", stdin=statements, user=_OWNER)  # fmt: skip

    def url(self, password: str) -> str:
        """SQLAlchemy URL of the database."""
        return f"postgresql+psycopg2://{_ROLE}:{password}@127.0.0.1:{self._port}/{_DATABASE}"


def _program(name: str) -> Path:
    """The newest installed PostgreSQL's program. Raises: Failed."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    found = sorted(versions, key=lambda path: int(path.parts[4]))
    if not found:
        raise Failed(f"PostgreSQL's {name} is not installed")
    return found[-1]

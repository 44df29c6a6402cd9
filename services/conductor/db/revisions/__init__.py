# SPDX-License-Identifier: Apache-2.0
"""Revisions of the schema: how one release's tables become the next one's, while daemons run."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection


def config(conn: Connection | None = None) -> Config:
    """Alembic's configuration, without a file; `conn` is what its commands work on."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.set_main_option("path_separator", "os")
    if conn is not None:
        made.attributes["connection"] = conn
    return made


def head() -> str:
    """The newest revision that this release knows."""
    newest = ScriptDirectory.from_config(config()).get_current_head()
    assert newest is not None
    return newest


def current(conn: Connection) -> str | None:
    """The revision that the database has; None for an empty database."""
    return MigrationContext.configure(conn).get_current_revision()


def upgrade(conn: Connection, target: str = "head") -> None:
    """Bring the schema to `target`. Again: nothing."""
    command.upgrade(config(conn), target)

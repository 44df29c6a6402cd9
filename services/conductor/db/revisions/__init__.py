# SPDX-License-Identifier: Apache-2.0
"""Revisions of the schema: how one release's tables become the next one's, while daemons run.

A conductor only compares revisions; Alembic, a tenth of its memory, is loaded by who changes them.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER = Path(__file__).parent
_TABLE = "alembic_version"
_ASSIGNMENT = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


def config(conn: Connection | None = None) -> "Config":
    """Alembic's configuration, without a file; `conn` is what its commands work on."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(_FOLDER))
    made.set_main_option("path_separator", "os")
    if conn is not None:
        made.attributes["connection"] = conn
    return made


def head() -> str:
    """The newest revision that this release knows: the one that none is built upon."""
    known: set[str] = set()
    built_upon: set[str] = set()
    for file in (_FOLDER / "versions").glob("[0-9]*.py"):
        for name, revision in _ASSIGNMENT.findall(file.read_text()):
            (known if name == "revision" else built_upon).add(revision)
    (newest,) = known - built_upon
    return newest


def current(conn: Connection) -> str | None:
    """The revision that the database has; None for an empty database."""
    if not inspect(conn).has_table(_TABLE):
        return None
    found: str | None = conn.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar()
    return found


def upgrade(conn: Connection, target: str = "head") -> None:
    """Bring the schema to `target`. Again: nothing."""
    from alembic import command

    command.upgrade(config(conn), target)

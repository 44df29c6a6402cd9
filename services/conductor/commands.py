# SPDX-License-Identifier: Apache-2.0
"""`kilonova db …`: the schema of the conductor's database. Runs where its configuration is."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from oslo_config import cfg
from sqlalchemy.engine import Connection

from common import config
from common.errors import Unavailable
from services.conductor import db as queries
from services.conductor.db import revisions, tables
from services.conductor.db.engine import Database

DEFAULT_CONFIG = Path("/etc/kilonova/kilonova.conf")
# An upgrade may rewrite a table: the limit that protects requests must not stop it.
_UPGRADE_TIMEOUT_S = 3600

_config_files = click.option(
    "--config-file",
    "config_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Configuration with [database] connection; may be repeated.  [default: {DEFAULT_CONFIG}]",
)


@click.group()
def db() -> None:
    """The conductor's database: bring its schema up to date, show it, compare it."""


@db.command()
@_config_files
def upgrade(config_files: tuple[Path, ...]) -> None:
    """Bring the schema to this release's revision. Safe to repeat, and with daemons running."""
    with _connection(config_files) as conn:
        before = revisions.current(conn)
        revisions.upgrade(conn)
        after = revisions.current(conn)
    if before == after:
        click.echo(f"The schema is at revision {after}; nothing to do.")
    else:
        click.echo(f"Upgraded the schema from {before or 'nothing'} to revision {after}.")


@db.command()
@_config_files
def version(config_files: tuple[Path, ...]) -> None:
    """Show the revision that the database has, and the one that this release needs."""
    with _connection(config_files) as conn:
        current = revisions.current(conn)
    click.echo(f"database: {current or 'empty'}")
    click.echo(f"release:  {revisions.head()}")


@db.command()
@_config_files
def check(config_files: tuple[Path, ...]) -> None:
    """Compare the live schema with what this release expects; exit code 1 when they differ."""
    with _connection(config_files) as conn:
        current = revisions.current(conn)
        differences = _differences(conn) if current == revisions.head() else None
    if differences is None:
        raise click.ClickException(
            f"The schema is at revision {current or 'none'}, this release needs "
            f"{revisions.head()}: run `kilonova db upgrade`."
        )
    for difference in differences:
        click.echo(difference)
    if differences:
        raise click.ClickException(
            f"The schema differs from the release in {len(differences)} points."
        )
    click.echo(f"The schema is what revision {current} makes.")


def _differences(conn: Connection) -> list[str]:
    # Whichever module of the package has tables, they hang on the one metadata once it is imported.
    for module in pkgutil.iter_modules(queries.__path__, f"{queries.__name__}."):
        importlib.import_module(module.name)
    found = compare_metadata(MigrationContext.configure(conn), tables.metadata)
    return [str(step) for step in found]


@contextmanager
def _connection(config_files: tuple[Path, ...]) -> Iterator[Connection]:
    files = config_files or ((DEFAULT_CONFIG,) if DEFAULT_CONFIG.exists() else ())
    arguments = [part for file in files for part in ("--config-file", str(file))]
    try:
        conf = config.load("kilonova", arguments, ["database"])
    except cfg.Error as wrong:
        raise click.ClickException(str(wrong)) from wrong
    database = Database(
        conf.database.connection,
        pool_size=2,
        connect_timeout_s=conf.database.connect_timeout_s,
        statement_timeout_s=_UPGRADE_TIMEOUT_S,
        application_name="kilonova-db",
    )
    try:
        with database.begin() as conn:
            yield conn
    except Unavailable as away:
        raise click.ClickException(f"{away} ({away.__cause__})") from away
    finally:
        database.close()

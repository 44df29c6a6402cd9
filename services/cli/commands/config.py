# SPDX-License-Identifier: Apache-2.0
"""`kilonova config`: configuration files, before a daemon reads them."""

from dataclasses import asdict
from pathlib import Path

import click

from services.cli.failures import CommandError, ExitCode
from services.cli.output import Output, formatted

_FOLDER = Path("/etc/kilonova")


@click.group()
def config() -> None:
    """Configuration files."""


@config.command()
@click.option(
    "--config-file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File to check; may be repeated.  [default: {_FOLDER}/*.conf]",
)
@formatted
@click.pass_context
def check(ctx: click.Context, files: tuple[Path, ...], output: Output) -> None:
    """Find unknown groups and options, and values that cannot be.

    Exit code 1 when there are any.
    """
    # Imported when needed: it reads the options of every library that shares the file.
    from services.cli import config_files

    chosen = files or tuple(sorted(_FOLDER.glob("*.conf")))
    if not chosen:
        raise CommandError(f"No configuration in {_FOLDER}; name files with --config-file.",
                           ExitCode.NOT_FOUND)  # fmt: skip
    known = config_files.known_options()
    problems = [problem for file in chosen for problem in config_files.check(file, known)]
    if output.format == "table":
        for problem in problems:
            click.echo(str(problem))
        count = sum(config_files.settings_of(file) for file in chosen)
        click.echo(f"{count} settings in {len(chosen)} files, {len(problems)} problems.")
    else:
        output.many([asdict(problem) for problem in problems], ())
    ctx.exit(ExitCode.FAILED if problems else ExitCode.OK)

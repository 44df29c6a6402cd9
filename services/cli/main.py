# SPDX-License-Identifier: Apache-2.0
"""`kilonova`: the operator's command line.

Commands speak REST; other packages plug in theirs by the entry point group `kilonova.cli` (the
conductor its `db`), and are loaded only when they are asked for.
"""

import os
import sys
from importlib.metadata import EntryPoint, entry_points

import click

from common.daemon import RELEASE
from services.cli.cloud import Cloud
from services.cli.commands.completion import completion
from services.cli.commands.config import config
from services.cli.commands.console import console
from services.cli.commands.host import host
from services.cli.commands.op import op
from services.cli.commands.server import server
from services.cli.commands.service import service
from services.cli.commands.status import status
from services.cli.failures import CommandError, ExitCode

_PLUGINS = "kilonova.cli"


class _WithPlugins(click.Group):
    """A group that finds further commands by their entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_plugins()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        plugin = _plugins().get(cmd_name)
        return _load(plugin) if plugin else None


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_PLUGINS)}


def _load(plugin: EntryPoint) -> click.Command:
    try:
        command = plugin.load()
    except Exception as broken:  # anything may be wrong with a package that is not ours
        reason = f"{type(broken).__name__}: {broken}"
        return _unusable(plugin.name, f"{plugin.value} cannot be loaded ({reason})")
    if not isinstance(command, click.Command):
        return _unusable(plugin.name, f"{plugin.value} is no click command")
    return command


def _unusable(name: str, reason: str) -> click.Command:
    """Stands for a plug-in that is broken, so that the others still work and are listed."""

    def complain() -> None:
        raise CommandError(f"The command {name} is not usable: {reason}")

    return click.Command(name, callback=complain, help=f"Not usable: {reason}")


@click.group(cls=_WithPlugins, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(RELEASE, prog_name="kilonova")
@click.option("--cloud", metavar="NAME", help="Cloud in clouds.yaml.  [env: OS_CLOUD]")
@click.option("--debug", is_flag=True, help="Show the whole trace of an error.")
@click.pass_context
def cli(ctx: click.Context, cloud: str | None, debug: bool) -> None:
    """Look after a kilonova cloud.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 conflict with the present state,
    5 a service is not available or refuses your credentials.
    """
    ctx.obj = Cloud(cloud)


for _command in (completion, config, console, host, op, server, service, status):
    cli.add_command(_command)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line; its exit code. Errors are one line on standard error."""
    try:
        # Without standalone mode click returns the code of ctx.exit() instead of leaving.
        result = cli.main(arguments, prog_name="kilonova", standalone_mode=False)
    except BrokenPipeError:
        # The reader (head, less) has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _complain(error)
    return result if isinstance(result, int) else ExitCode.OK


def _complain(error: Exception) -> int:
    if isinstance(error, click.Abort):
        click.echo("Interrupted.", err=True)
        return ExitCode.FAILED
    if isinstance(error, click.UsageError):
        error.show()
        return ExitCode.USAGE
    if isinstance(error, CommandError):
        click.echo(f"kilonova: {error}", err=True)
        return error.code
    if isinstance(error, click.ClickException):
        click.echo(f"kilonova: {error.format_message()}", err=True)
        return error.exit_code
    kind = type(error).__name__
    click.echo(f"kilonova: unexpected {kind}: {error} (--debug shows the trace)", err=True)
    return ExitCode.FAILED

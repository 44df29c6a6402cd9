# SPDX-License-Identifier: Apache-2.0
"""`kilonova console`: a server's serial console in the terminal."""

import ssl
import sys

import click

from services.cli.cloud import Cloud
from services.cli.commands.server import find
from services.cli.failures import CommandError, ExitCode

_SERIAL: dict[str, object] = {"remote_console": {"protocol": "serial", "type": "serial"}}
_OPENS_WITHIN_S = 30


@click.command()
@click.argument("server")
@click.pass_obj
def console(cloud: Cloud, server: str) -> None:
    """Open a server's serial console in this terminal; Ctrl-] leaves it.

    SERVER is an id or a name. Press Enter for a login prompt that came before you did.
    """
    if not sys.stdin.isatty():
        raise CommandError("A console needs a terminal to type in.", ExitCode.USAGE)
    found = find(cloud, server)
    opened = cloud.post(f"/servers/{found['id']}/remote-consoles", _SERIAL)["remote_console"]
    why = _visit(opened["url"], cloud.verify, found["name"])
    if why is not None:
        raise CommandError(f"The console of {found['name']} has ended: {why}")


def _visit(url: str, verify: bool | str, name: str) -> str | None:
    # Imported when needed: no other command does.
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.sync.client import connect

    from services.cli import terminal

    context = _context(verify) if url.startswith("wss:") else None
    try:
        client = connect(
            url, ssl=context, open_timeout=_OPENS_WITHIN_S, compression=None, max_size=None
        )
    except InvalidStatus as turned_away:
        phrase = turned_away.response.reason_phrase
        raise CommandError(f"The console is not opened: {phrase}", ExitCode.UNAVAILABLE) from None
    except (OSError, InvalidHandshake) as away:
        place = url.partition("?")[0]
        raise CommandError(f"{place} is not reached: {away}", ExitCode.UNAVAILABLE) from away
    keyboard, screen = sys.stdin.fileno(), sys.stdout.fileno()
    try:
        with terminal.raw(keyboard):
            click.echo(f"Connected to {name}. Ctrl-] leaves.\r", err=True)
            return terminal.join(client, keyboard, screen)
    finally:
        click.echo("", err=True)


def _context(verify: bool | str) -> ssl.SSLContext:
    """TLS as the cloud's configuration wants it: `cacert`, or `insecure`."""
    made = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made

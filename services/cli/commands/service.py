# SPDX-License-Identifier: Apache-2.0
"""`kilonova service`: daemons, and whether they take work."""

from typing import Any

import click

from services.cli.cloud import Cloud
from services.cli.failures import CommandError, ExitCode
from services.cli.output import Column, Output, Record, formatted

_COLUMNS = (
    Column("id", "ID", extra=True),
    Column("binary", "Binary"),
    Column("host", "Host"),
    Column("zone", "Zone"),
    Column("status", "Status", coloured=True),
    Column("state", "State", coloured=True),
    Column("last_seen_at", "Last seen", extra=True),
    Column("disabled_reason", "Reason", prose=True),
)
_binary = click.option(
    "--binary", default="nova-compute", show_default=True, help="Which of the host's services."
)


@click.group()
def service() -> None:
    """Services: list, enable, disable, force down, delete.

    SERVICE is a service's id or its host's name.
    """


@service.command("list")
@click.option("--host", help="Of this host only.")
@click.option("--binary", help="Of this binary only.")
@formatted
@click.pass_obj
def list_(cloud: Cloud, host: str | None, binary: str | None, output: Output) -> None:
    """Services, their status (set by operators) and state (whether they are heard from)."""
    found = cloud.get("/os-services", host=host, binary=binary)["services"]
    output.many([_record(s) for s in found], _COLUMNS)


@service.command()
@click.argument("service")
@_binary
@formatted
@click.pass_obj
def show(cloud: Cloud, service: str, binary: str, output: Output) -> None:
    """One service."""
    output.one(_record(find(cloud, service, binary)))


@service.command()
@click.argument("service")
@_binary
@formatted
@click.pass_obj
def enable(cloud: Cloud, service: str, binary: str, output: Output) -> None:
    """Let a host take new servers again."""
    _update(cloud, service, binary, {"status": "enabled"}, output)


@service.command()
@click.argument("service")
@_binary
@click.option("--reason", help="Why; everybody who asks is told.")
@formatted
@click.pass_obj
def disable(cloud: Cloud, service: str, binary: str, reason: str | None, output: Output) -> None:
    """Let a host take no new servers; those on it run on."""
    body: dict[str, object] = {"status": "disabled"}
    if reason:
        body["disabled_reason"] = reason
    _update(cloud, service, binary, body, output)


@service.command("force-down")
@click.argument("service")
@_binary
@click.option("--unset", is_flag=True, help="Trust its signs of life again.")
@formatted
@click.pass_obj
def force_down(cloud: Cloud, service: str, binary: str, unset: bool, output: Output) -> None:
    """Vouch that a host is down, so that nobody waits for it."""
    _update(cloud, service, binary, {"forced_down": not unset}, output)


@service.command()
@click.argument("service")
@_binary
@click.pass_obj
def delete(cloud: Cloud, service: str, binary: str) -> None:
    """Forget a service; refused while servers are on its host."""
    found = find(cloud, service, binary)
    cloud.delete(f"/os-services/{found['id']}")
    click.echo(f"Deleted {found['binary']} on {found['host']}.")


def find(cloud: Cloud, name: str, binary: str) -> dict[str, Any]:
    """The service with this id, or `binary` on the host of this name. Raises: CommandError."""
    services: list[dict[str, Any]] = cloud.get("/os-services")["services"]
    for found in services:
        if found["id"] == name or (found["host"], found["binary"]) == (name, binary):
            return found
    raise CommandError(f"No service with id {name}, and no {binary} on a host {name}.",
                       ExitCode.NOT_FOUND)  # fmt: skip


def _update(cloud: Cloud, name: str, binary: str, body: dict[str, object], output: Output) -> None:
    found = find(cloud, name, binary)
    output.one(_record(cloud.put(f"/os-services/{found['id']}", body)["service"]))


def _record(service: dict[str, Any]) -> Record:
    return {
        "id": service["id"],
        "binary": service["binary"],
        "host": service["host"],
        "zone": service["zone"],
        "status": service["status"],
        "state": service["state"],
        "forced_down": service.get("forced_down", False),
        "last_seen_at": service.get("updated_at"),
        "disabled_reason": service.get("disabled_reason"),
    }

# SPDX-License-Identifier: Apache-2.0
"""`kilonova server`: where servers are, and why they are as they are."""

import re
from typing import Any

import click

from services.cli.cloud import Cloud
from services.cli.failures import CommandError, ExitCode
from services.cli.output import Column, Output, formatted

_COLUMNS = (
    Column("id", "ID", extra=True),
    Column("name", "Name"),
    Column("status", "Status", coloured=True),
    Column("task", "Task", extra=True),
    Column("host", "Host"),
    Column("zone", "Zone", extra=True),
    Column("addresses", "Addresses", extra=True),
    Column("why", "Why", prose=True),
)
_EVENTS = (
    Column("event", "Event"),
    Column("host", "Host"),
    Column("started_at", "Started", extra=True),
    Column("finished_at", "Finished", extra=True),
    Column("result", "Result", coloured=True),
    Column("details", "Details", prose=True),
)


@click.group()
def server() -> None:
    """Servers: where they are, and why they are as they are."""


@server.command("list")
@click.option("-a", "--all-projects", is_flag=True, help="Of every project (administrators).")
@click.option("--host", help="On this host only.")
@click.option("--status", help="With this status only, such as ERROR.")
@formatted
@click.pass_obj
def list_(
    cloud: Cloud, all_projects: bool, host: str | None, status: str | None, output: Output
) -> None:
    """Servers, with their host and, when they failed, the reason."""
    found = cloud.pages(
        "/servers/detail",
        "servers",
        all_tenants=True if all_projects else None,
        host=host,
        status=status,
    )
    output.many([_record(s) for s in found], _COLUMNS)


@server.command()
@click.argument("server")
@formatted
@click.pass_obj
def show(cloud: Cloud, server: str, output: Output) -> None:
    """One server by id or name: where it is, why, and what was done to it last."""
    found = find(cloud, server)
    record = _record(found) | {
        "project": found["tenant_id"],
        "node": found.get("OS-EXT-SRV-ATTR:hypervisor_hostname"),
        "power": _power(found.get("OS-EXT-STS:power_state")),
        "flavor": found["flavor"]["original_name"],
        "image": (found["image"] or {}).get("id"),
        "created_at": found["created"],
        "launched_at": found.get("OS-SRV-USG:launched_at"),
        **_last_action(cloud, found["id"]),
    }
    output.one(record, ("events", "Events of the last action", _EVENTS))


def find(cloud: Cloud, name: str) -> dict[str, Any]:
    """A server by id or name, of the own project first. Raises: CommandError (none, or several)."""
    try:
        found: dict[str, Any] = cloud.get(f"/servers/{name}")["server"]
        return found
    except CommandError as refusal:
        if refusal.code != ExitCode.NOT_FOUND:
            raise
    named = _named(cloud, name) or _named_anywhere(cloud, name)
    if not named:
        raise CommandError(f"No server with id or name {name}.", ExitCode.NOT_FOUND)
    if len(named) > 1:
        ids = ", ".join(s["id"] for s in named)
        raise CommandError(f"{len(named)} servers are called {name}: {ids}", ExitCode.CONFLICT)
    return named[0]


def _named(cloud: Cloud, name: str, **more: Any) -> list[dict[str, Any]]:
    return list(cloud.pages("/servers/detail", "servers", name=f"^{re.escape(name)}$", **more))


def _named_anywhere(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Servers of that name in every project; none for those who may not look there."""
    try:
        return _named(cloud, name, all_tenants=True)
    except CommandError as refusal:
        if refusal.code != ExitCode.UNAVAILABLE:
            raise
        return []


def _record(server: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": server["id"],
        "name": server["name"],
        "status": server["status"],
        "task": server.get("OS-EXT-STS:task_state"),
        "host": server.get("OS-EXT-SRV-ATTR:host"),
        "zone": server.get("OS-EXT-AZ:availability_zone") or None,
        "addresses": [a["addr"] for net in server["addresses"].values() for a in net],
        "why": (server.get("fault") or {}).get("message"),
    }


def _last_action(cloud: Cloud, server: str) -> dict[str, Any]:
    """What was asked last, and the events of it that the caller may see."""
    actions = cloud.get(f"/servers/{server}/os-instance-actions")["instanceActions"]
    if not actions:
        return {"last_action": None, "events": []}
    request = actions[0]["request_id"]
    action = cloud.get(f"/servers/{server}/os-instance-actions/{request}")["instanceAction"]
    return {
        "last_action": action["action"],
        "last_action_at": action["start_time"],
        "last_action_request": request,
        "last_action_message": action.get("message"),
        "events": [
            {
                "event": event["event"],
                "host": event.get("host"),
                "started_at": event["start_time"],
                "finished_at": event.get("finish_time"),
                "result": event.get("result"),
                "details": event.get("details"),
            }
            for event in action.get("events", ())
        ],
    }


def _power(state: int | None) -> str | None:
    names = {0: "unknown", 1: "running", 3: "paused", 4: "shut down", 6: "crashed", 7: "suspended"}
    return None if state is None else names.get(state, str(state))

# SPDX-License-Identifier: Apache-2.0
"""`kilonova op`: the journal of long operations, step by step."""

from typing import Any

import click

from services.cli.cloud import Cloud
from services.cli.output import Column, Output, formatted

_COLUMNS = (
    Column("uuid", "ID"),
    Column("flow", "Flow"),
    Column("instance_uuid", "Server", extra=True),
    Column("state", "State", coloured=True),
    Column("step", "Step"),
    Column("host", "Host"),
    Column("attempts", "Attempts", extra=True),
    Column("deadline_at", "Deadline", extra=True),
    Column("reason", "Reason", prose=True),
)
_STEPS = (
    Column("step", "Step"),
    Column("direction", "Direction"),
    Column("attempt", "Attempt"),
    Column("host", "Host"),
    Column("started_at", "Started", extra=True),
    Column("finished_at", "Finished", extra=True),
    Column("outcome", "Outcome", coloured=True),
    Column("reason", "Reason", prose=True),
)
_FIELDS = (
    "uuid", "flow", "instance_uuid", "project_id", "request_id", "state", "direction", "step",
    "host", "attempts", "lease_owner", "lease_until", "deadline_at", "reason", "created_at",
    "updated_at", "finished_at",
)  # fmt: skip
_STEP_FIELDS = tuple(column.key for column in _STEPS)


@click.group()
def op() -> None:
    """Operations: what is under way, at which step, on which host, and why it waits."""


@op.command("list")
@click.option("-a", "--all", "show_all", is_flag=True, help="Finished operations too.")
@click.option("--server", help="Of this server (its id) only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@formatted
@click.pass_obj
def list_(cloud: Cloud, show_all: bool, server: str | None, limit: int, output: Output) -> None:
    """Operations under way, newest first."""
    found = cloud.get(
        "/kilonova/tasks",
        microversion=None,
        active="false" if show_all else "true",
        instance=server,
        limit=limit,
    )["tasks"]
    output.many([_record(task, _FIELDS) for task in found], _COLUMNS)


@op.command()
@click.argument("operation")
@formatted
@click.pass_obj
def show(cloud: Cloud, operation: str, output: Output) -> None:
    """One operation with every step it ran: where, how often, how long, how it ended."""
    task = cloud.get(f"/kilonova/tasks/{operation}", microversion=None)["task"]
    steps = [_record(step, _STEP_FIELDS) for step in task.get("steps", ())]
    output.one(_record(task, _FIELDS) | {"steps": steps}, ("steps", "Steps", _STEPS))


def _record(found: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """What is at its default is left out on the way: every field is there again."""
    defaults = {"direction": "forward", "attempts": 0, "attempt": 1}
    return {field: found.get(field, defaults.get(field)) for field in fields}

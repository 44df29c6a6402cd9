# SPDX-License-Identifier: Apache-2.0
"""`kilonova status`: how every daemon is, asked over the bus."""

from typing import Any

import click

from services.cli.cloud import Cloud
from services.cli.failures import ExitCode
from services.cli.output import Column, Output, formatted

_COLUMNS = (
    Column("daemon", "Daemon"),
    Column("host", "Host"),
    Column("healthy", "Healthy", coloured=True),
    Column("latency_ms", "Latency ms"),
    Column("uptime", "Up for"),
    Column("memory_mib", "Memory MiB", extra=True),
    Column("pid", "PID", extra=True),
    Column("release", "Release", extra=True),
    Column("problem", "Problem", prose=True),
)


@click.command()
@formatted
@click.pass_context
def status(ctx: click.Context, output: Output) -> None:
    """How every daemon is, as the conductor hears it over the bus.

    Exit code 1 when one is unhealthy or does not answer.
    """
    cloud: Cloud = ctx.obj
    records = [
        _record(daemon) for daemon in cloud.get("/kilonova/status", microversion=None)["daemons"]
    ]
    if output.format == "table":
        for record in records:
            record["uptime"] = _spoken(record["uptime_s"])
    output.many(records, _COLUMNS)
    ctx.exit(ExitCode.OK if all(r["healthy"] for r in records) else ExitCode.FAILED)


def _record(daemon: dict[str, Any]) -> dict[str, Any]:
    status = daemon.get("status") or {}
    latency = daemon.get("latency_ms")
    return {
        "daemon": daemon["binary"],
        "host": daemon["host"],
        "healthy": bool(status.get("healthy")),
        "latency_ms": None if latency is None else round(latency, 1),
        "uptime_s": status.get("uptime_s"),
        "memory_mib": status.get("memory_mib"),
        "pid": status.get("pid"),
        "release": status.get("release"),
        "problem": daemon.get("error") or (status.get("details") or {}).get("problems"),
    }


def _spoken(seconds: float | None) -> str | None:
    """93784 seconds are `1d 2h 3m`; seconds show below an hour only."""
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m")]
    if not days and not hours:
        parts.append((rest, "s"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0s"

# SPDX-License-Identifier: Apache-2.0
"""`kilonova host`: compute hosts, what they have and what is taken."""

from typing import Any

import click

from services.cli.cloud import HYPERVISORS_MICROVERSION, Cloud
from services.cli.failures import CommandError, ExitCode
from services.cli.output import Column, Output, Record, formatted

_COLUMNS = (
    Column("host", "Host"),
    Column("node", "Node", extra=True),
    Column("status", "Status", coloured=True),
    Column("state", "State", coloured=True),
    Column("vcpus", "vCPUs"),
    Column("memory_mib", "Memory MiB"),
    Column("disk_gib", "Disk GiB"),
    Column("servers", "Servers"),
    Column("disabled_reason", "Reason", prose=True),
)
_SERVERS = (Column("id", "ID"), Column("name", "Name"))


@click.group()
def host() -> None:
    """Compute hosts: what they have, what is taken, who is on them."""


@host.command("list")
@formatted
@click.pass_obj
def list_(cloud: Cloud, output: Output) -> None:
    """Hosts with used and total vCPUs, memory and disk."""
    records = [_record(h) for h in _hosts(cloud)]
    if output.format == "table":
        for record in records:
            record["servers"] = len(record["servers"])
            for amount in ("vcpus", "memory_mib", "disk_gib"):
                record[amount] = f"{record[amount]['used']}/{record[amount]['total']}"
    output.many(records, _COLUMNS)


@host.command()
@click.argument("host")
@formatted
@click.pass_obj
def show(cloud: Cloud, host: str, output: Output) -> None:
    """One host, by its name, its node's name or its id, with the servers on it."""
    for found in _hosts(cloud):
        if host in (found["id"], found["service"]["host"], found["hypervisor_hostname"]):
            output.one(_record(found), ("servers", "Servers", _SERVERS))
            return
    raise CommandError(f"No compute host {host}.", ExitCode.NOT_FOUND)


def _hosts(cloud: Cloud) -> list[dict[str, Any]]:
    pages = cloud.pages(
        "/os-hypervisors/detail",
        "hypervisors",
        microversion=HYPERVISORS_MICROVERSION,
        with_servers="true",
    )
    return sorted(pages, key=lambda found: str(found["service"]["host"]))


def _record(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["id"],
        "host": found["service"]["host"],
        "node": found["hypervisor_hostname"],
        "status": found["status"],
        "state": found["state"],
        "disabled_reason": found["service"].get("disabled_reason"),
        "hypervisor": f"{found['hypervisor_type']} {_version(found['hypervisor_version'])}",
        "address": found["host_ip"],
        "vcpus": _amount(found, "vcpus"),
        "memory_mib": _amount(found, "memory_mb"),
        "disk_gib": _amount(found, "local_gb"),
        "servers": [
            {"id": server["uuid"], "name": server["name"]} for server in found.get("servers", ())
        ],
    }


def _amount(found: dict[str, Any], key: str) -> Record:
    return {"used": found[f"{key}_used"], "total": found[key]}


def _version(number: int) -> str:
    """7002000 is 7.2.0."""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"

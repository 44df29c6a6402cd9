# SPDX-License-Identifier: Apache-2.0
"""`/os-simple-tenant-usage`: how long servers ran in a period, and what they had meanwhile."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from common.clock import Clock, iso_microseconds
from common.errors import Invalid
from common.objects.usage import ServerUsage
from common.policy import PolicyForbids
from common.rpc.conductor.usage import Usage
from common.states import VmState
from services.api.call import ApiCall
from services.api.declare.request import PAGING, Query
from services.api.declare.types import TEXT, Field, Plain
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:os-simple-tenant-usage:"
_OBJECT = Raw(Plain({"type": "object"}))
_PAGED = 40
_PERIOD = (
    Field("start", TEXT),
    Field("end", TEXT),
    *(Field(each.name, each.type, since=f"2.{_PAGED}") for each in PAGING),
)
LIST = Query("usage-list", [*_PERIOD, Field("detailed", TEXT)])
SHOW = Query("usage-show", _PERIOD)
_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")


class TenantUsages:
    """`/os-simple-tenant-usage`."""

    def __init__(self, usage: Usage, clock: Clock) -> None:
        self._usage, self._clock = usage, clock

    @responder(policy=_RULE + "list", query=LIST, returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """Sum up what each project used; with `detailed=1` what each server did."""
        period = _Period(call, self._clock)
        servers = _in_period(self._usage, call, period, project_id=None)
        document: dict[str, Any] = {
            "tenant_usages": [
                period.summary(project, list(of_project), detailed=call.single("detailed") == "1")
                for project, of_project in groupby(servers, key=lambda each: each.project_id)
            ]
        }
        return document | _next_page(call, servers, "tenant_usages_links")


class TenantUsageOf:
    """`/os-simple-tenant-usage/{project_id}`."""

    def __init__(self, usage: Usage, clock: Clock) -> None:
        self._usage, self._clock = usage, clock

    @responder(query=SHOW, returns=_OBJECT)
    def on_get(self, call: ApiCall, project_id: str) -> dict[str, Any]:
        """Show what a project used, server by server."""
        rule = _RULE + "show"
        if not call.policy(call.caller, rule, project_id=project_id):
            raise PolicyForbids(rule=rule)
        period = _Period(call, self._clock)
        servers = _in_period(self._usage, call, period, project_id=project_id)
        shown = period.summary(project_id, servers, detailed=True) if servers else {}
        return {"tenant_usage": shown} | _next_page(call, servers, "tenant_usage_links")


class _Period:
    """From `start` to `end` of a request; both are now when it does not say."""

    def __init__(self, call: ApiCall, clock: Clock) -> None:
        self.now = clock.now()
        self.start = _moment(call.single("start"), self.now)
        self.end = _moment(call.single("end"), self.now)
        if self.start > self.end:
            raise Invalid("Invalid start time. The start time cannot occur after the end time.")

    def summary(
        self, project: str, servers: Sequence[ServerUsage], *, detailed: bool
    ) -> dict[str, Any]:
        """What a project used, with each of its servers when `detailed`."""
        hours = [self._hours(each) for each in servers]
        pairs = list(zip(servers, hours, strict=True))
        shown = {
            "tenant_id": project,
            "start": iso_microseconds(self.start),
            "stop": iso_microseconds(self.end),
            "total_hours": sum(hours, 0.0),
            "total_vcpus_usage": sum((each.vcpus * h for each, h in pairs), 0.0),
            "total_memory_mb_usage": sum((each.memory_mib * h for each, h in pairs), 0.0),
            "total_local_gb_usage": sum((each.disk_gib * h for each, h in pairs), 0.0),
        }
        if detailed:
            shown["server_usages"] = [self._server(each, h) for each, h in pairs]
        return shown

    def _hours(self, server: ServerUsage) -> float:
        begun = max(server.started_at, self.start)
        ended = min(server.ended_at or self.end, self.end)
        return max((ended - begun).total_seconds(), 0.0) / 3600

    def _server(self, server: ServerUsage, hours: float) -> dict[str, Any]:
        lived = (server.ended_at or self.now) - server.started_at
        is_over = server.ended_at is not None or server.vm_state == VmState.SOFT_DELETED
        return {
            "instance_id": server.uuid,
            "name": server.name,
            "tenant_id": server.project_id,
            "flavor": server.flavor_name,
            "vcpus": server.vcpus,
            "memory_mb": server.memory_mib,
            "local_gb": server.disk_gib,
            "hours": hours,
            "started_at": iso_microseconds(server.started_at),
            "ended_at": iso_microseconds(server.ended_at) if server.ended_at else None,
            "state": "terminated" if is_over else server.vm_state,
            "uptime": max(int(lived.total_seconds()), 0),
        }


def _in_period(
    usage: Usage, call: ApiCall, period: _Period, *, project_id: str | None
) -> list[ServerUsage]:
    paged = call.at_least(_PAGED)
    return usage.in_period(
        call.caller,
        start=period.start,
        end=period.end,
        project_id=project_id,
        limit=call.page_limit() if paged else None,
        marker=call.single("marker") if paged else None,
    )


def _next_page(call: ApiCall, servers: Sequence[ServerUsage], key: str) -> dict[str, Any]:
    if not call.at_least(_PAGED) or not servers or len(servers) < call.page_limit():
        return {}
    return {key: [{"rel": "next", "href": call.links.next_page(servers[-1].uuid)}]}


def _moment(given: str | None, now: datetime) -> datetime:
    if not given:
        return now
    for form in _FORMATS:
        try:
            return datetime.strptime(given, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise Invalid(f"Invalid datetime string: {given}")

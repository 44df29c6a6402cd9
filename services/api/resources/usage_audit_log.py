# SPDX-License-Identifier: Apache-2.0
"""`/os-instance_usage_audit_log`: how many servers each host had in a calendar month.

No audit ever runs here: the figures are counted when they are asked for, so every host is done and
none has errors. docs/operators/usage.md says what is counted.
"""

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from common.clock import Clock
from common.errors import Invalid
from common.objects.usage import HostUsage
from common.rpc.conductor.usage import Usage
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY
from services.api.declare.types import Plain
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:os-instance-usage-audit-log:"
_OBJECT = Raw(Plain({"type": "object"}))
_SHOWN = "%Y-%m-%d %H:%M:%S"
_FORMATS = (_SHOWN, "%Y-%m-%d %H:%M:%S.%f")
_FIRST_YEAR = 2  # the month before a moment of an earlier year may not exist


class UsageAuditLogs:
    """`/os-instance_usage_audit_log`."""

    def __init__(self, usage: Usage, clock: Clock) -> None:
        self._usage, self._clock = usage, clock

    @responder(policy=_RULE + "list", query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """Count the servers of each host in the last full month."""
        log = _log(self._usage, call, self._clock.now())
        return {"instance_usage_audit_logs": log}


class UsageAuditLogBefore:
    """`/os-instance_usage_audit_log/{before}`."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    @responder(policy=_RULE + "show", query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall, before: str) -> dict[str, Any]:
        """Count the servers of each host in the last full month before a moment."""
        return {"instance_usage_audit_log": _log(self._usage, call, _moment(before))}


def _log(usage: Usage, call: ApiCall, before: datetime) -> dict[str, Any]:
    begin, end = month_before(before)
    hosts = usage.by_host(call.caller, start=begin, end=end)
    return {
        "period_beginning": begin.strftime(_SHOWN),
        "period_ending": end.strftime(_SHOWN),
        "num_hosts": len(hosts),
        "num_hosts_done": len(hosts),
        "num_hosts_running": 0,
        "num_hosts_not_run": 0,
        "hosts_not_run": [],
        "total_instances": sum(each.servers for each in hosts),
        "total_errors": 0,
        "overall_status": "ALL hosts done. 0 errors.",
        "log": _by_host(hosts),
    }


def _by_host(hosts: Sequence[HostUsage]) -> dict[str, Any]:
    return {
        each.host: {
            "state": "DONE",
            "instances": each.servers,
            "errors": 0,
            "message": f"{each.servers} instances of host {each.host}, counted just now.",
        }
        for each in hosts
    }


def month_before(moment: datetime) -> tuple[datetime, datetime]:
    """Begin and end of the last month that was over before `moment`."""
    end = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if end == moment:  # not over before it, but just then
        end = _begin_of_month_before(end)
    return _begin_of_month_before(end), end


def _begin_of_month_before(first: datetime) -> datetime:
    last = first - timedelta(days=1)
    return first - timedelta(days=calendar.monthrange(last.year, last.month)[1])


def _moment(given: str) -> datetime:
    for form in _FORMATS:
        try:
            found = datetime.strptime(given, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if found.year >= _FIRST_YEAR:
            return found
    raise Invalid(f"Invalid timestamp for date {given}")

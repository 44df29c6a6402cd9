# SPDX-License-Identifier: Apache-2.0
"""`/kilonova`: what is ours alone: the task journal and the health of daemons."""

from typing import Any

import msgspec

from common.rpc.conductor.hosts import Hosts
from common.rpc.conductor.tasks import Tasks
from services.api.call import ApiCall
from services.api.declare.request import LIMIT, Query
from services.api.declare.types import BOOLEAN, TEXT, Field, Plain, is_true
from services.api.declare.view import Raw
from services.api.responder import responder

_OBJECT = Raw(Plain({"type": "object"}))
_DEFAULT_LIMIT = 100
LIST = Query("task-list", [
    Field("active", BOOLEAN), Field("instance", TEXT), Field("limit", LIMIT),
], strict_since="2.1")  # fmt: skip


def _plain(thing: Any) -> dict[str, Any]:
    """Every field, also those at their defaults, which the bus leaves out."""
    shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(thing))
    return shown


class TaskList:
    """`/kilonova/tasks`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    @responder(policy="kilonova:tasks", query=LIST, returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List tasks of the journal, the newest first."""
        active = call.single("active")
        limit = call.single("limit")
        found = self._tasks.list_tasks(
            call.caller,
            active_only=active is None or is_true(active),
            instance=call.single("instance"),
            limit=min(int(limit), call.max_limit) if limit else _DEFAULT_LIMIT,
        )
        return {"tasks": [_plain(task) for task in found]}


class TaskById:
    """`/kilonova/tasks/{task_id}`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    @responder(policy="kilonova:tasks", returns=_OBJECT)
    def on_get(self, call: ApiCall, task_id: str) -> dict[str, Any]:
        """Show a task with every step of it."""
        task = self._tasks.show(call.caller, task_id)
        return {"task": {**_plain(task), "steps": [_plain(step) for step in task.steps]}}


class Status:
    """`/kilonova/status`."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @responder(policy="kilonova:status", returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """Ask every daemon over the bus how it is."""
        return {"daemons": [_plain(daemon) for daemon in self._hosts.health(call.caller)]}

# SPDX-License-Identifier: Apache-2.0
"""Tasks: the journal as operators read it."""

from common.context import RequestContext
from common.objects.task import TaskRecord
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Tasks(Interface, topic=TOPIC, namespace="tasks", version="1.0"):
    """The journal as operators read it.

    1.0  first release
    """

    @call()
    def list_tasks(
        self,
        ctx: RequestContext,
        *,
        active_only: bool = True,
        instance: str | None = None,
        limit: int = 100,
    ) -> list[TaskRecord]:
        """Tasks, newest first, without their steps' history."""

    @call()
    def show(self, ctx: RequestContext, task: str) -> TaskRecord:
        """One task with the history of its steps. Raises: TaskNotFound."""

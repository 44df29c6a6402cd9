# SPDX-License-Identifier: Apache-2.0
"""Choosing hosts: the scheduler is asked with what a request's hints mean at this moment.

The scheduler knows hosts, not instances: where those are that a request names, and the members of a
server group, the database says.
"""

import msgspec

from common.context import RequestContext
from common.objects.request_spec import RequestSpec, Selection
from common.rpc.scheduler import Scheduler
from services.conductor.db import instances, server_groups
from services.conductor.db.engine import Database

_NAMING, _GROUP = ("different_host", "same_host"), "group"


class Choosing:
    """Completes requests and has the scheduler choose."""

    def __init__(self, database: Database, scheduler: Scheduler) -> None:
        self._database = database
        self._scheduler = scheduler

    def select(self, ctx: RequestContext, spec: RequestSpec) -> Selection:
        """Hosts and alternates for each instance of `spec`. Raises: Unavailable."""
        return self._scheduler.select(ctx, self._completed(spec))

    def _completed(self, spec: RequestSpec) -> RequestSpec:
        hints = spec.scheduler_hints
        named = [uuid for hint in _NAMING for uuid in hints.get(hint, ())]
        if not named and _GROUP not in hints:
            return spec
        with self._database.read() as conn:
            # Of the own project only: nobody learns where the instances of others are.
            if named:
                hosts = instances.hosts_of(conn, named, project_id=spec.project_id)
                spec = msgspec.structs.replace(spec, hint_hosts=hosts)
            if _GROUP in hints:
                group = server_groups.spec_now(conn, spec.instance_uuids[0])
                spec = msgspec.structs.replace(spec, group=group)
        return spec

# SPDX-License-Identifier: Apache-2.0
"""Accepting that a host has guests of instances which are said to be elsewhere."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import InstanceNotFound
from common.objects.instance import Instance
from common.objects.migration import Migration, MigrationStatus, MigrationType
from common.objects.request_spec import Candidate
from common.states import PowerState, TaskState
from services.conductor.accept.admission import Admission
from services.conductor.db import compute_nodes, instances, journal, migrations
from services.conductor.tasks.adopt import Adopt
from services.conductor.tasks.live_migrate import LiveMigrateParams
from services.conductor.tasks.placing import spec_of

LOG = logging.getLogger(__name__)

_LIVES = (PowerState.RUNNING, PowerState.PAUSED)
_GIVEN_UP = (MigrationStatus.ERROR, MigrationStatus.CANCELLED, MigrationStatus.FAILED)


class AcceptArrivals:
    """A live migration that was given up may have succeeded all the same."""

    def __init__(self, admission: Admission, *, down_after_s: float) -> None:
        self._admission = admission
        self._down_after_s = down_after_s

    def strays(self, ctx: RequestContext, host: str, states: Mapping[str, int]) -> None:
        """Insert a task for each of these guests that came to `host` alive. Again: no effect."""
        for uuid, state in states.items():
            if state in _LIVES:
                self._adopt(ctx, host, uuid)

    def _adopt(self, ctx: RequestContext, host: str, uuid: str) -> None:
        with self._admission.begin() as conn:
            try:
                found = instances.get(conn, uuid, down_after_s=self._down_after_s, for_update=True)
            except InstanceNotFound:
                return
            migration = self._migration(conn, found, host)
            if migration is None:
                return
            if found.power_state in _LIVES:
                # Until its host has looked, both may have one: nobody but that one can tell.
                LOG.warning("%s has a guest of %s, which may run on %s too", host, uuid, found.host)
                return
            LOG.info("Instance %s is on %s, where its guest has come to", uuid, host)
            instances.change(conn, uuid, task_state=TaskState.MIGRATING)
            task = self._admission.task(
                ctx, Adopt.name, found, **self._params(conn, found, migration, host)
            )
            launch = self._admission.insert(conn, ctx, task, action="live-migration")
        launch()

    def _migration(self, conn: Connection, found: Instance, host: str) -> Migration | None:
        """The instance's last live migration, if that was to `host` and was given up."""
        if found.host in (None, host) or found.task_state or journal.unfinished(conn, found.uuid):
            return None
        last = migrations.latest(conn, found.uuid, tuple(MigrationStatus))
        if last is None or last.type != MigrationType.LIVE or last.dest_host != host:
            return None
        return last if last.status in _GIVEN_UP else None

    def _params(
        self, conn: Connection, found: Instance, migration: Migration, host: str
    ) -> dict[str, Any]:
        node = compute_nodes.on_host(conn, host, down_after_s=self._down_after_s).report
        candidate = Candidate(host_uuid=node.uuid, host=node.host, node=node.node)
        params = LiveMigrateParams(
            spec=spec_of(found, requested_host=host),
            migration=migration.uuid,
            source_host=str(found.host),
            chosen=(candidate,),
            forced=True,
        )
        return dict(msgspec.to_builtins(params))

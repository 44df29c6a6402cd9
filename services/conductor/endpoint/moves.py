# SPDX-License-Identifier: Apache-2.0
"""The `moves` interface: operations by way of `accept`, the record of moves from the database."""

from sqlalchemy.engine import Connection

from common.context import RequestContext
from common.errors import Invalid, MigrationNotFound, NotFound
from common.objects.instance import Instance
from common.objects.migration import (
    IN_PROGRESS,
    Migration,
    MigrationFilters,
    MigrationProgress,
    MigrationStatus,
    MigrationType,
)
from common.rpc.conductor.moves import Moves
from services.conductor.accept.checks import check
from services.conductor.accept.moves import AcceptMoves
from services.conductor.computes import Computes
from services.conductor.db import instances, journal, migrations
from services.conductor.db.engine import Database

_EARLY = (MigrationStatus.QUEUED, MigrationStatus.PREPARING)


class MovesEndpoint(Moves):
    """Looks instances up where the caller may see them."""

    def __init__(
        self,
        database: Database,
        accept: AcceptMoves,
        *,
        computes: Computes,
        down_after_s: float,
    ) -> None:
        self._database = database
        self._accept = accept
        self._computes = computes
        self._down_after_s = down_after_s

    # --- operations ---

    def resize(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        flavorid: str,
        disk_config: str | None = None,
    ) -> None:
        self._accept.resize(ctx, instance, flavorid=flavorid, disk_config=disk_config)

    def migrate(self, ctx: RequestContext, instance: str, *, host: str | None = None) -> None:
        self._accept.migrate(ctx, instance, host=host)

    def confirm_resize(self, ctx: RequestContext, instance: str) -> None:
        self._accept.confirm(ctx, instance)

    def revert_resize(self, ctx: RequestContext, instance: str) -> None:
        self._accept.revert(ctx, instance)

    def live_migrate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None = None,
        block_migration: bool | None = None,
        forced: bool = False,
        check_first: bool = False,
    ) -> None:
        self._accept.live_migrate(
            ctx, instance,
            host=host, block_migration=block_migration, forced=forced, check_first=check_first,
        )  # fmt: skip

    def evacuate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None = None,
        admin_password: str | None = None,
        stopped: bool = False,
        forced: bool = False,
    ) -> None:
        self._accept.evacuate(
            ctx, instance,
            host=host, admin_password=admin_password, stopped=stopped, forced=forced,
        )  # fmt: skip

    # --- the record ---

    def list_migrations(self, ctx: RequestContext, filters: MigrationFilters) -> list[Migration]:
        with self._database.read() as conn:
            return migrations.list_migrations(conn, filters)

    def server_migrations(self, ctx: RequestContext, instance: str) -> list[Migration]:
        with self._database.read() as conn:
            self._find(conn, ctx, instance)
            return self._under_way(conn, instance)

    def server_migration(
        self, ctx: RequestContext, instance: str, migration_id: str
    ) -> tuple[Migration, MigrationProgress]:
        with self._database.read() as conn:
            self._find(conn, ctx, instance)
            migration = self._one(conn, instance, migration_id)
            if migration.status not in IN_PROGRESS:
                raise NotFound(
                    f"Live migration {migration_id} for server {instance} is not in progress."
                )
            compute = self._computes.on(conn, str(migration.source_host))
        return migration, compute.live_progress(ctx, str(migration.source_host), instance)

    def force_complete(self, ctx: RequestContext, instance: str, migration_id: str) -> None:
        with self._database.begin() as conn:
            check(ctx, self._find(conn, ctx, instance), "live_migration_force_complete")
            try:
                migration = self._one(conn, instance, migration_id)
            except NotFound as unknown:  # here the contract has 400, not 404
                raise Invalid(str(unknown)) from unknown
            _check_status(migration, (MigrationStatus.RUNNING,), "force complete")
            compute = self._computes.on(conn, str(migration.source_host))
            self._accept.note(conn, ctx, instance, action="live_migration_force_complete")
        compute.complete_live(ctx, str(migration.source_host), instance)

    def abort_migration(
        self, ctx: RequestContext, instance: str, migration_id: str, *, early: bool = False
    ) -> None:
        with self._database.begin() as conn:
            check(ctx, self._find(conn, ctx, instance), "live_migration_abort")
            migration = self._one(conn, instance, migration_id)
            allowed = (MigrationStatus.RUNNING, *(_EARLY if early else ()))
            _check_status(migration, allowed, "abort live migration")
            self._computes.on(conn, str(migration.source_host))  # else nobody can
            self._accept.note(conn, ctx, instance, action="live_migration_cancel")
            under_way = [
                (self._computes.on(conn, task.host), task.operation_id, task.host)
                for task in journal.unfinished(conn, instance)
                if task.operation_id is not None and task.host is not None
            ]
        for compute, operation, host in under_way:
            compute.cancel(ctx, operation, host)

    # --- parts ---

    def _find(self, conn: Connection, ctx: RequestContext, instance: str) -> Instance:
        return instances.get(
            conn,
            instance,
            down_after_s=self._down_after_s,
            project_id=None if ctx.is_admin else ctx.project_id or "",
        )

    def _under_way(self, conn: Connection, instance: str) -> list[Migration]:
        filters = MigrationFilters(instance_uuid=instance, type=MigrationType.LIVE)
        return migrations.list_migrations(conn, filters, statuses=IN_PROGRESS)

    def _one(self, conn: Connection, instance: str, migration_id: str) -> Migration:
        filters = MigrationFilters(instance_uuid=instance, type=MigrationType.LIVE)
        for migration in migrations.list_migrations(conn, filters):
            if str(migration.id) == migration_id:
                return migration
        raise MigrationNotFound(f"Migration {migration_id} not found for instance {instance}")


def _check_status(migration: Migration, allowed: tuple[MigrationStatus, ...], what: str) -> None:
    if migration.status not in allowed:
        raise Invalid(
            f"Migration {migration.id} state of instance {migration.instance_uuid} is "
            f"{migration.status}. Cannot {what} while the migration is in this state."
        )

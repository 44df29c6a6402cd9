# SPDX-License-Identifier: Apache-2.0
"""Accepting resize and migrate, their confirmation and reversal, live migration and evacuation."""

import logging
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.context import RequestContext, service_context
from common.errors import (
    FlavorNotFound,
    HostDown,
    HostNotFound,
    InstanceNotReady,
    Invalid,
    KilonovaError,
)
from common.ids import NewUuid
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.migration import Migration, MigrationStatus, MigrationType
from common.objects.service import Service
from common.states import PowerState, TaskState, VmState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.image_fit import check_fit
from services.conductor.db import flavors, instances, journal, migrations, services
from services.conductor.quota import Quota
from services.conductor.tasks.evacuate import Evacuate
from services.conductor.tasks.live_migrate import LiveMigrate, LiveMigrateParams
from services.conductor.tasks.move import (
    ConfirmResize,
    Migrate,
    MoveParams,
    Resize,
    RevertResize,
    SettleParams,
)
from services.conductor.tasks.placing import need_of, ports_of, spec_of, zone_of_host

LOG = logging.getLogger(__name__)

_RESIZE = Operation("resize", Resize.name, TaskState.RESIZE_PREP)
_MIGRATE = Operation("migrate", Migrate.name, TaskState.RESIZE_PREP)
_CONFIRM = Operation(
    "confirm_resize", ConfirmResize.name, TaskState.RESIZE_CONFIRMING, action="confirmResize"
)
_REVERT = Operation(
    "revert_resize", RevertResize.name, TaskState.RESIZE_REVERTING, action="revertResize"
)
_LIVE = Operation("live_migrate", LiveMigrate.name, TaskState.MIGRATING, action="live-migration")
_EVACUATE = Operation("evacuate", Evacuate.name, TaskState.REBUILDING)
_SMALLER = "Resize error: Unable to resize disk down."
_MOST_CONFIRMED = 100  # in one round; the rest waits for the next


class AcceptMoves:
    """`same_host`: whether a resize may stay on its host. `confirm_after_s`: when one that its
    owner has not confirmed is; 0 never.
    """

    def __init__(
        self,
        admission: Admission,
        quota: Quota,
        *,
        clock: Clock,
        new_uuid: NewUuid,
        down_after_s: float,
        same_host: bool = False,
        confirm_after_s: int = 0,
    ) -> None:
        self._admission = admission
        self._quota = quota
        self._clock = clock
        self._new_uuid = new_uuid
        self._down_after_s = down_after_s
        self._same_host = same_host
        self._confirm_after_s = confirm_after_s

    def resize(
        self, ctx: RequestContext, instance: str, *, flavorid: str, disk_config: str | None
    ) -> None:
        """Insert a resize task (common/rpc/conductor/moves.py says what is refused)."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            source = self._source(conn, found)
            flavor = _other_flavor(conn, ctx, found, flavorid)
            self._quota.check_resize(
                conn, found.project_id, found.user_id, old=found.flavor, new=flavor
            )
            changes = {} if disk_config is None else {"disk_config": disk_config}
            counted = instances.counted_columns(found.flavor, flavor)
            instances.change(conn, found.uuid, **counted, **changes)
            migration = self._migration(ctx, found, MigrationType.RESIZE, flavor)
            migrations.add(conn, migration)
            excluded = _not_back_to(conn, found)
            if not self._same_host:
                excluded = (source.host, *excluded)
            return self._move(found, migration, flavor, excluded_hosts=excluded)

        self._admission.admit(ctx, instance, _RESIZE, prepare=prepare)

    def migrate(self, ctx: RequestContext, instance: str, *, host: str | None) -> None:
        """Insert a migrate task."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            source = self._source(conn, found)
            self._check_target(conn, found, host)
            migration = self._migration(ctx, found, MigrationType.MIGRATION, found.flavor)
            migrations.add(conn, migration)
            return self._move(
                found, migration, found.flavor,
                excluded_hosts=(source.host, *_not_back_to(conn, found)), requested_host=host,
            )  # fmt: skip

        self._admission.admit(ctx, instance, _MIGRATE, prepare=prepare)

    def confirm(self, ctx: RequestContext, instance: str) -> None:
        """Insert a confirmation task."""
        self._settle(ctx, instance, _CONFIRM, MigrationStatus.CONFIRMING)

    def revert(self, ctx: RequestContext, instance: str) -> None:
        """Insert a reversal task."""
        self._settle(ctx, instance, _REVERT, MigrationStatus.REVERTING)

    def confirm_due(self) -> None:
        """Confirm what was resized long enough ago. Again: what is left of it."""
        if not self._confirm_after_s:
            return
        with self._admission.begin() as conn:
            due = migrations.settled_before(
                conn,
                MigrationStatus.FINISHED,
                older_than_s=self._confirm_after_s,
                most=_MOST_CONFIRMED,
            )
        for instance in due:
            LOG.info("Confirming %s, moved over %d s ago", instance, self._confirm_after_s)
            try:
                self.confirm(service_context(), instance)
            except KilonovaError as refused:  # its owner was quicker, or it is gone
                LOG.debug("Instance %s is not confirmed: %s", instance, refused)

    def complete_evacuations(self) -> None:
        """Note which old hosts have cleaned up after evacuations. Again: nothing."""
        with self._admission.begin() as conn:
            migrations.complete_evacuations(conn)

    def live_migrate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None,
        block_migration: bool | None,
    ) -> None:
        """Insert a live migration task."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if found.power_state not in (PowerState.RUNNING, PowerState.PAUSED):
                raise Invalid(f"Instance {instance} is not running: migrate it without `live`.")
            self._check_target(conn, found, host)
            migration = self._migration(ctx, found, MigrationType.LIVE, found.flavor)
            migrations.add(conn, migration)
            excluded = (str(found.host), *_not_back_to(conn, found))
            spec = spec_of(found, excluded_hosts=excluded, requested_host=host)
            return msgspec.to_builtins(  # type: ignore[no-any-return]
                LiveMigrateParams(
                    spec=spec,
                    migration=migration.uuid,
                    source_host=str(found.host),
                    ports=ports_of(found),
                    block_migration=block_migration,
                )
            )

        self._admission.admit(ctx, instance, _LIVE, prepare=prepare)

    def evacuate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None,
        admin_password: str | None,
        stopped: bool,
    ) -> None:
        """Insert an evacuation task."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            if host is not None:
                self._service(conn, host)
            if host == found.host:
                raise Invalid("The target host can't be the same one.")
            if self._service(conn, str(found.host)).is_up:
                raise Invalid(f"Compute service of {found.host} is still in use.")
            migration = self._migration(ctx, found, MigrationType.EVACUATION, found.flavor)
            migrations.add(conn, migration)
            is_running = not stopped and found.vm_state != VmState.STOPPED
            return self._move(
                found, migration, found.flavor, is_running=is_running,
                excluded_hosts=(str(found.host), *_not_back_to(conn, found)),
                requested_host=host,
            )  # fmt: skip

        self._admission.admit(ctx, instance, _EVACUATE, prepare=prepare, secret=admin_password)

    def note(self, conn: Connection, ctx: RequestContext, instance: str, *, action: str) -> None:
        """Record what was done to a migration under way."""
        self._admission.record(conn, ctx, instance, action=action)

    # --- parts ---

    def _settle(
        self, ctx: RequestContext, instance: str, operation: Operation, status: MigrationStatus
    ) -> None:
        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            migration = migrations.latest(conn, found.uuid, (MigrationStatus.FINISHED,))
            if migration is None:
                raise Invalid("Instance has not been resized.")
            if operation is _CONFIRM and not self._service(conn, str(migration.source_host)).is_up:
                raise HostDown
            migrations.change(conn, migration.uuid, status=status)
            params = SettleParams(
                migration=migration.uuid,
                project_id=found.project_id,
                source_host=str(migration.source_host),
                zone=zone_of_host(conn, str(migration.source_host)),
                ports=ports_of(found),
            )
            return msgspec.to_builtins(params)  # type: ignore[no-any-return]

        self._admission.admit(ctx, instance, operation, prepare=prepare)

    def _move(
        self,
        found: Instance,
        migration: Migration,
        flavor: Flavor,
        *,
        is_running: bool | None = None,
        **spec: Any,
    ) -> dict[str, Any]:
        runs = found.vm_state == VmState.ACTIVE if is_running is None else is_running
        params = MoveParams(
            spec=spec_of(found, need=need_of(flavor), extra_specs=flavor.extra_specs, **spec),
            migration=migration.uuid,
            source_host=str(found.host),
            ports=ports_of(found),
            is_running=runs,
        )
        return msgspec.to_builtins(params)  # type: ignore[no-any-return]

    def _migration(
        self, ctx: RequestContext, found: Instance, kind: MigrationType, flavor: Flavor
    ) -> Migration:
        return Migration(
            uuid=self._new_uuid(),
            instance_uuid=found.uuid,
            type=kind,
            source_host=found.host,
            source_node=found.node,
            old_flavor=found.flavor,
            new_flavor=flavor,
            old_vm_state=found.vm_state,
            project_id=ctx.project_id or found.project_id,
            user_id=ctx.user_id or found.user_id,
            created_at=self._clock.now(),
        )

    def _source(self, conn: Connection, found: Instance) -> Service:
        if found.host is None:
            raise InstanceNotReady(instance=found.uuid)
        source = self._service(conn, found.host)
        if not source.is_up:
            raise HostDown
        return source

    def _check_target(self, conn: Connection, found: Instance, host: str | None) -> None:
        if host is None:
            return
        if host == found.host:
            raise Invalid(f"Unable to migrate instance ({found.uuid}) to current host ({host}).")
        try:
            self._service(conn, host)
        except HostNotFound as unknown:
            raise Invalid(str(unknown)) from unknown

    def _service(self, conn: Connection, host: str) -> Service:
        return services.get(
            conn, host=host, binary=services.COMPUTE, down_after_s=self._down_after_s
        )


def _not_back_to(conn: Connection, found: Instance) -> tuple[str, ...]:
    """Hosts that still have to remove what an earlier move left there: a removal that comes late
    must not hit the instance itself.
    """
    return tuple(journal.owing(conn, found.uuid))


def _other_flavor(conn: Connection, ctx: RequestContext, found: Instance, flavorid: str) -> Flavor:
    """Raises: Invalid (no such flavor, the same, or one whose disk does not hold the guest's)."""
    try:
        flavor = flavors.get(conn, ctx, flavorid)
    except FlavorNotFound as unknown:
        raise Invalid("Unable to locate requested flavor.") from unknown
    if flavor.disabled:
        raise Invalid("Unable to locate requested flavor.")
    if flavor.flavorid == found.flavor.flavorid:
        raise Invalid("When resizing, instances must change flavor!")
    if not found.is_volume_backed:
        if not flavor.root_gib and found.flavor.root_gib:
            raise Invalid("Resize to zero disk flavor is not allowed.")
        if flavor.root_gib < found.flavor.root_gib:
            raise Invalid(_SMALLER)
        if found.image is not None:
            check_fit(found.image, flavor)
    if flavor.ephemeral_gib < found.flavor.ephemeral_gib:
        raise Invalid(_SMALLER)
    return flavor

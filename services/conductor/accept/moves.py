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
    HostUnsuited,
    InstanceInvalidState,
    InstanceNotReady,
    Invalid,
    KilonovaError,
    NoValidHost,
)
from common.guest_hardware.demands import check_demands
from common.ids import NewUuid
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.migration import Migration, MigrationStatus, MigrationType
from common.objects.request_spec import Candidate, RequestSpec
from common.objects.service import Service
from common.states import PowerState, TaskState, VmState
from services.conductor import claims
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.image_fit import check_fit
from services.conductor.db import (
    compute_nodes,
    flavors,
    instances,
    journal,
    migrations,
    services,
)
from services.conductor.quota import Quota
from services.conductor.tasks.evacuate import Evacuate
from services.conductor.tasks.ground import Hosts
from services.conductor.tasks.live_migrate import LiveMigrate, LiveMigrateParams
from services.conductor.tasks.move import (
    ConfirmResize,
    Migrate,
    MoveParams,
    Resize,
    RevertResize,
    SettleParams,
)
from services.conductor.tasks.placing import check_forced, need_of, spec_of, zone_of_host

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
        scheduler: Hosts,
        *,
        clock: Clock,
        new_uuid: NewUuid,
        down_after_s: float,
        same_host: bool = False,
        confirm_after_s: int = 0,
    ) -> None:
        self._admission = admission
        self._quota = quota
        self._scheduler = scheduler
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
        forced: bool = False,
        check_first: bool = False,
    ) -> None:
        """Insert a live migration task."""
        chosen: tuple[Candidate, ...] = ()
        if check_first:
            chosen = self._choose_first(ctx, instance, host, forced=forced)

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            spec = self._live_spec(conn, found, host)
            migration = self._migration(ctx, found, MigrationType.LIVE, found.flavor)
            migrations.add(conn, migration)
            params = LiveMigrateParams(
                spec=spec,
                migration=migration.uuid,
                source_host=str(found.host),
                block_migration=block_migration,
                chosen=self._insisted(conn, host) if forced else _still_allowed(chosen, spec),
                forced=forced,
            )
            return msgspec.to_builtins(params)  # type: ignore[no-any-return]

        self._admission.admit(ctx, instance, _LIVE, prepare=prepare)

    def _live_spec(self, conn: Connection, found: Instance, host: str | None) -> RequestSpec:
        if found.power_state not in (PowerState.RUNNING, PowerState.PAUSED):
            raise InstanceInvalidState(
                operation="os-migrateLive",
                instance=found.uuid,
                attribute="power_state",
                state=PowerState(found.power_state).name.lower(),
            )
        self._check_target(conn, found, host)
        source = compute_nodes.on_host(conn, str(found.host), down_after_s=self._down_after_s)
        return spec_of(
            found,
            excluded_hosts=(str(found.host), *_not_back_to(conn, found)),
            requested_host=host,
            hypervisor_type=source.report.hypervisor_type,
            hypervisor_version=source.report.hypervisor_version,
        )

    def _choose_first(
        self, ctx: RequestContext, instance: str, host: str | None, *, forced: bool
    ) -> tuple[Candidate, ...]:
        """Hosts for a live migration before it is accepted, so that its refusal is an answer.

        Raises: Invalid (no host can take it), and what the acceptance raises.
        """
        found = self._admission.look(ctx, instance, _LIVE)
        with self._admission.begin() as conn:
            spec = self._live_spec(conn, found, host)
            if forced:
                insisted = self._insisted(conn, host)
                check_forced(conn, spec, insisted[0], down_after_s=self._down_after_s)
                if not claims.fits(conn, insisted[0], spec.need):
                    raise HostUnsuited(host=host, reason="it has no room for the flavor")
                return insisted
        selection = self._scheduler.select(ctx, spec)
        if not selection.candidates or not selection.candidates[0]:
            raise Invalid(str(NoValidHost(reason=selection.reason)))
        return selection.candidates[0]

    def _insisted(self, conn: Connection, host: str | None) -> tuple[Candidate, ...]:
        """The one host that somebody insists on, past the scheduler. Raises: HostNotFound."""
        node = compute_nodes.on_host(conn, str(host), down_after_s=self._down_after_s).report
        return (Candidate(host_uuid=node.uuid, host=node.host, node=node.node),)

    def evacuate(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        host: str | None,
        admin_password: str | None,
        stopped: bool,
        forced: bool = False,
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
                chosen=self._insisted(conn, host) if forced else (),
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
        chosen: tuple[Candidate, ...] = (),
        **spec: Any,
    ) -> dict[str, Any]:
        """`chosen` is a host that somebody insists on."""
        runs = found.vm_state == VmState.ACTIVE if is_running is None else is_running
        params = MoveParams(
            spec=spec_of(
                found,
                need=need_of(flavor, boots_from_volume=found.is_volume_backed),
                extra_specs=flavor.extra_specs,
                flavor_name=flavor.name,
                **spec,
            ),
            migration=migration.uuid,
            source_host=str(found.host),
            is_running=runs,
            chosen=chosen,
            forced=bool(chosen),
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


def _still_allowed(chosen: tuple[Candidate, ...], spec: RequestSpec) -> tuple[Candidate, ...]:
    """Hosts that were chosen before, without those that the instance has come to or left since."""
    return tuple(each for each in chosen if each.host not in spec.excluded_hosts)


def _other_flavor(conn: Connection, ctx: RequestContext, found: Instance, flavorid: str) -> Flavor:
    """Raises: Invalid (no such flavor, the same, or one whose disk does not hold the guest's),
    ImageUnacceptable.
    """
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
    check_demands(flavor, found.image)
    return flavor

# SPDX-License-Identifier: Apache-2.0
"""Accepting new servers: checked, counted, and written with their boot tasks in one commit."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from sqlalchemy import exc as sa
from sqlalchemy.engine import Connection

from common.clock import Clock
from common.context import RequestContext
from common.errors import Forbidden, Invalid, KeypairNotFound, ServerGroupNotFound
from common.guest_hardware.demands import check_demands
from common.ids import NewUuid
from common.objects.action import InstanceAction
from common.objects.flavor import Flavor
from common.objects.instance import Instance
from common.objects.keypair import Keypair
from common.objects.new_server import CreatedServers, NewServers
from common.objects.request_spec import Candidate
from common.objects.scheduler_hints import as_lists
from common.objects.server_group import ServerGroup
from common.states import TaskState, VmState
from services.conductor.accept.destinations import forced_host
from services.conductor.accept.disks import check_local_disks, disks_of
from services.conductor.accept.image_fit import check_fit
from services.conductor.accept.names import hostname_of, nth_name
from services.conductor.db import actions, flavors, instances, keypairs, server_groups
from services.conductor.db.engine import Database, sqlstate
from services.conductor.db.journal_task import Task
from services.conductor.journal.engine import Engine
from services.conductor.quota import Quota
from services.conductor.tasks.boot import Boot, BootParams
from services.conductor.tasks.ground import NETWORKS_KEY, NO_NETWORKS
from services.conductor.tasks.placing import spec_of

_UNIQUE_VIOLATION = "23505"


class _Checked(NamedTuple):
    """`number`: how many servers fit the quota; `chosen`: the host that they are forced on."""

    flavor: Flavor
    keypair: Keypair | None
    number: int
    chosen: tuple[Candidate, ...]


class Create:
    """Accepts new servers."""

    def __init__(
        self, database: Database, engine: Engine, quota: Quota, *, clock: Clock, new_uuid: NewUuid
    ) -> None:
        self._database = database
        self._engine = engine
        self._quota = quota
        self._clock = clock
        self._new_uuid = new_uuid

    def __call__(self, ctx: RequestContext, request: NewServers) -> CreatedServers:
        """Insert rows and boot tasks of as many servers as fit the quota, but `min_count` at least.

        Raises: FlavorNotFound, KeypairNotFound, Invalid, ImageUnacceptable, QuotaExceeded.
        """
        _check_scope(ctx)
        try:
            with self._database.begin() as conn:
                uuids, launch = self._insert(conn, ctx, request)
        except sa.IntegrityError as clash:
            if sqlstate(clash) != _UNIQUE_VIOLATION:
                raise
            # The API's call was repeated: its answer was lost, not its effect.
            uuids, launch = self._known(request), _nothing
        launch()
        return CreatedServers(
            uuids=tuple(uuids),
            reservation_id=request.reservation_id,
            disk_config=request.disk_config or "MANUAL",
            security_groups=request.security_groups,
        )

    def would_accept(self, ctx: RequestContext, request: NewServers) -> int:
        """How many servers a call would make now. Raises: as a call."""
        _check_scope(ctx)
        with self._database.begin() as conn:
            return self._checked(conn, ctx, request).number

    def _checked(self, conn: Connection, ctx: RequestContext, request: NewServers) -> "_Checked":
        """What new servers are made with, once nothing speaks against them."""
        flavor = flavors.get(conn, ctx, request.flavorid)
        boots_from_volume = any(
            disk.is_volume and disk.boot_index == 0 for disk in request.block_devices
        )
        if not (flavor.root_gib or boots_from_volume or request.zero_disk_allowed):
            raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        if request.image is not None:
            check_fit(
                request.image,
                flavor,
                disk_config=request.disk_config,
                boots_from_volume=boots_from_volume,
            )
        check_demands(flavor, request.image)
        check_local_disks(request.block_devices, flavor)
        chosen = forced_host(conn, request)
        keypair = _keypair(conn, ctx, request.key_name)
        count = self._quota.check_create(
            conn,
            ctx.project_id or "",
            ctx.user_id or "",
            flavor=flavor,
            min_count=request.min_count,
            max_count=len(request.uuids),
            metadata_items=len(request.metadata),
        )
        self._quota.check_injected_files(
            conn, ctx.project_id or "", ctx.user_id or "", request.injected_files
        )
        return _Checked(flavor, keypair, count, chosen)

    def _insert(
        self, conn: Connection, ctx: RequestContext, request: NewServers
    ) -> tuple[list[str], Callable[[], None]]:
        flavor, keypair, count, chosen = self._checked(conn, ctx, request)
        new = [
            self._instance(ctx, request, flavor, keypair, number, count) for number in range(count)
        ]
        instances.insert_new(conn, new)
        if "group" in request.scheduler_hints:
            group = _group(conn, ctx, request)
            self._quota.check_group_members(
                conn, ctx.project_id or "", ctx.user_id or "", len(group.members) + count
            )
            server_groups.join(conn, group, [made.uuid for made in new])
        tasks = [self._task(ctx, request, instance, chosen) for instance in new]
        actions.add(
            conn, [(_action(ctx, made), task.uuid) for made, task in zip(new, tasks, strict=True)]
        )
        return [made.uuid for made in new], self._engine.admit(conn, tasks)

    def _known(self, request: NewServers) -> list[str]:
        with self._database.begin() as conn:
            return [uuid for uuid in request.uuids if instances.is_live(conn, uuid)]

    def _instance(
        self,
        ctx: RequestContext,
        request: NewServers,
        flavor: Flavor,
        keypair: Keypair | None,
        number: int,
        count: int,
    ) -> Instance:
        uuid = request.uuids[number]
        name = nth_name(request.name, number + 1, count)
        hostname = nth_name(request.hostname, number + 1, count) if request.hostname else None
        image = request.image
        disks = disks_of(request, flavor, number, new_uuid=self._new_uuid)
        properties = image.properties if image else {}
        return Instance(
            uuid=uuid,
            project_id=ctx.project_id or "",
            user_id=ctx.user_id or "",
            name=name,
            hostname=hostname or hostname_of(name, uuid),
            description=request.description,
            vm_state=VmState.BUILDING,
            task_state=TaskState.SCHEDULING,
            flavor=flavor,
            image=image,
            kernel_id=properties.get("kernel_id", ""),
            ramdisk_id=properties.get("ramdisk_id", ""),
            pinned_availability_zone=request.availability_zone,
            launch_index=number,
            reservation_id=request.reservation_id,
            key_name=request.key_name,
            keypair=keypair,
            user_data=request.user_data,
            # The drive is how injected files reach a guest.
            config_drive=request.config_drive
            or bool(request.injected_files)
            or (image is not None and image.needs_config_drive),
            metadata=request.metadata,
            tags=request.tags,
            system_metadata={} if request.networks else {NETWORKS_KEY: NO_NETWORKS},
            block_devices=disks,
            root_device_name=next((d.device_name for d in disks if d.boot_index == 0), None)
            or "/dev/vda",
            security_groups=request.security_groups,
            access_ip_v4=request.access_ip_v4,
            access_ip_v6=request.access_ip_v6,
            disk_config=request.disk_config or "MANUAL",
            trusted_certs=request.trusted_certs,
            scheduler_hints=request.scheduler_hints,
            created_at=self._clock.now(),
        )

    def _task(
        self,
        ctx: RequestContext,
        request: NewServers,
        instance: Instance,
        chosen: tuple[Candidate, ...],
    ) -> Task:
        spec = spec_of(
            instance,
            requested_host=request.requested_host,
            requested_node=request.requested_node,
        )
        params = BootParams(
            spec=spec,
            chosen=chosen,
            forced=bool(chosen),
            hostname=instance.hostname,
            networks=request.networks or (),
            security_groups=request.security_groups,
            injected_files=request.injected_files,
            volumes=tuple(d.volume_id for d in instance.block_devices if d.volume_id),
            made_volumes=request.made_volumes[instance.launch_index]
            if request.made_volumes
            else (),
        )
        return Task(
            uuid=self._new_uuid(),
            flow=Boot.name,
            instance_uuid=instance.uuid,
            context=ctx,
            params=msgspec.to_builtins(params),
            secret=request.admin_password,
        )


def _check_scope(ctx: RequestContext) -> None:
    if ctx.project_id is None or ctx.user_id is None:
        raise Invalid("Servers belong to a project: the token must be scoped to one.")


def _keypair(conn: Connection, ctx: RequestContext, name: str | None) -> Keypair | None:
    if name is None:
        return None
    try:
        return keypairs.get(conn, ctx.user_id or "", name)
    except KeypairNotFound as missing:
        # Clients know it as a fault of the request (400), not of the address.
        raise Invalid("Invalid key_name provided.") from missing


def _group(conn: Connection, ctx: RequestContext, request: NewServers) -> ServerGroup:
    """The group that is asked for, locked: its members are counted and added to."""
    (uuid, *others) = as_lists(request.scheduler_hints)["group"] or [""]
    if others:
        raise Invalid("A server is in one server group only.")
    try:
        return server_groups.get(conn, uuid, project_id=ctx.project_id, for_update=True)
    except ServerGroupNotFound as missing:
        # A fault of the request (400), not of the address.
        raise Invalid(str(missing)) from missing


def _action(ctx: RequestContext, instance: Instance) -> InstanceAction:
    return InstanceAction(
        action="create",
        instance_uuid=instance.uuid,
        request_id=ctx.request_id,
        user_id=ctx.user_id,
        project_id=ctx.project_id,
        start_time=instance.created_at,
    )


def _nothing() -> None:
    """Nothing is to be launched."""

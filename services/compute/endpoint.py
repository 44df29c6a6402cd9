# SPDX-License-Identifier: Apache-2.0
"""The server side of common/rpc/compute.py: turns messages into operations, and nothing else."""

from collections.abc import Callable
from typing import Any

import msgspec

from common.context import RequestContext
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.host_power import HostPowerAction
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.operation import Operation
from common.objects.share_mapping import ShareMapping
from common.rpc.compute import Compute
from common.rpc.interface import dispatch
from common.states import PowerState
from services.compute.hosts import Hosts
from services.compute.operations import Operations, Request
from services.compute.power_watch import PowerWatch
from services.compute.quieting import Quieting
from services.compute.snapshots import Uploads
from services.compute.virt.driver import Checkpoint, Driver
from services.compute.warming import Warming

# Does an operation with a host's driver. What it gives is reported: the guest's power state, None
# when no guest is left, or what the conductor hands on to another host.
_Deed = Callable[[Driver, Checkpoint], PowerState | LiveTarget | None]


class ComputeEndpoint(Compute):
    """Turns messages into operations, and does nothing else."""

    def __init__(
        self,
        hosts: Hosts,
        operations: Operations,
        power_watch: PowerWatch,
        uploads: Uploads,
        warming: Warming,
    ) -> None:
        self._hosts = hosts
        self._uploads = uploads
        self._warming = warming
        self._operations = operations
        self._power_watch = power_watch
        self._quieting = Quieting()

    def build(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, paused: bool = False
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.build(instance, checkpoint, paused=paused)

        self._start(ctx, Request(op, host, instance.uuid, "build"), deed)

    def destroy(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "destroy", overrides=True)
        self._start(ctx, request, lambda driver, _: driver.destroy(instance))

    def power_on(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "power_on")
        self._start(ctx, request, lambda driver, checkpoint: driver.power_on(instance, checkpoint))

    def power_off(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, grace_s: int = 60
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.power_off(instance, grace_s=grace_s, checkpoint=checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "power_off"), deed)

    def reboot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, hard: bool = False
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.reboot(instance, hard=hard, checkpoint=checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "reboot"), deed)

    def pause(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "pause")
        self._start(ctx, request, lambda driver, _: driver.pause(instance))

    def unpause(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "unpause")
        self._start(ctx, request, lambda driver, _: driver.unpause(instance))

    def suspend(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "suspend")
        self._start(ctx, request, lambda driver, checkpoint: driver.suspend(instance, checkpoint))

    def resume(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "resume")
        self._start(ctx, request, lambda driver, checkpoint: driver.resume(instance, checkpoint))

    def revive(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "revive")
        self._start(ctx, request, lambda driver, checkpoint: driver.revive(instance, checkpoint))

    def rescue(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image: ImageMeta
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.rescue(instance, image, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "rescue"), deed)

    def unrescue(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "unrescue")
        self._start(ctx, request, lambda driver, checkpoint: driver.unrescue(instance, checkpoint))

    def rebuild(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        preserve_ephemeral: bool = False,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.rebuild(instance, checkpoint, preserve_ephemeral=preserve_ephemeral)

        self._start(ctx, Request(op, host, instance.uuid, "rebuild"), deed)

    def snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.snapshot(instance, image_id, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "snapshot"), deed)

    def upload_snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> None:
            self._uploads.send(image_id, driver.snapshot_path(image_id), checkpoint)
            driver.discard_snapshot(image_id)

        self._start(ctx, Request(op, host, instance.uuid, "upload_snapshot"), deed)

    def discard_snapshot(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, image_id: str
    ) -> None:
        request = Request(op, host, instance.uuid, "discard_snapshot")
        self._start(ctx, request, lambda driver, _: driver.discard_snapshot(image_id))

    def attach_interface(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, vif: VirtualInterface
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.attach_interface(instance, vif, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "attach_interface"), deed)

    def detach_interface(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, vif: VirtualInterface
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.detach_interface(instance, vif, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "detach_interface"), deed)

    def attach_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.attach_volume(instance, disk, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "attach_volume"), deed)

    def detach_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.detach_volume(instance, disk, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "detach_volume"), deed)

    def swap_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        by: BlockDeviceMapping,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.swap_volume(instance, disk, by, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "swap_volume"), deed)

    def extend_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
    ) -> None:
        request = Request(op, host, instance.uuid, "extend_volume")
        self._start(ctx, request, lambda driver, _: driver.extend_volume(instance, disk))

    def snapshot_volume(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        new_file: str,
    ) -> None:
        request = Request(op, host, instance.uuid, "snapshot_volume")
        self._start(
            ctx, request, lambda driver, _: driver.snapshot_volume(instance, disk, new_file)
        )

    def merge_volume_snapshot(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        disk: BlockDeviceMapping,
        delete_info: dict[str, Any],
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.merge_volume_snapshot(instance, disk, delete_info, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "merge_volume_snapshot"), deed)

    def attach_share(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, share: ShareMapping
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.attach_share(instance, share, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "attach_share"), deed)

    def detach_share(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, share: ShareMapping
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.detach_share(instance, share, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "detach_share"), deed)

    def trigger_crash_dump(
        self, ctx: RequestContext, op: str, host: str, instance: Instance
    ) -> None:
        request = Request(op, host, instance.uuid, "trigger_crash_dump")
        self._start(ctx, request, lambda driver, _: driver.trigger_crash_dump(instance))

    def change_password(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, password: str
    ) -> None:
        request = Request(op, host, instance.uuid, "change_password")
        self._start(ctx, request, lambda driver, _: driver.change_password(instance, password))

    def set_aside(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, grace_s: int = 60
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> None:
            driver.set_aside(instance, grace_s=grace_s, checkpoint=checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "set_aside"), deed)

    def take_back(
        self, ctx: RequestContext, op: str, host: str, instance: Instance, *, start: bool
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.take_back(instance, start=start, checkpoint=checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "take_back"), deed)

    def forget_aside(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "forget_aside")
        self._start(ctx, request, lambda driver, _: driver.forget_aside(instance))

    def receive(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> PowerState:
            return driver.receive(instance, from_host=from_host, start=start, checkpoint=checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "receive"), deed)

    def offer_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> None:
            driver.offer_live(instance, checkpoint)

        self._start(ctx, Request(op, host, instance.uuid, "offer_live"), deed)

    def withdraw_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "withdraw_live")
        self._start(ctx, request, lambda driver, _: driver.withdraw_live(instance))

    def prepare_live(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None = None,
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> LiveTarget:
            return driver.prepare_live(
                instance, from_host=from_host, block_migration=block_migration,
                checkpoint=checkpoint,
            )  # fmt: skip

        self._start(ctx, Request(op, host, instance.uuid, "prepare_live"), deed)

    def discard_live(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "discard_live")
        self._start(ctx, request, lambda driver, _: driver.discard_live(instance))

    def migrate_live(
        self,
        ctx: RequestContext,
        op: str,
        host: str,
        instance: Instance,
        *,
        to_host: str,
        target: LiveTarget,
        disks_there: tuple[BlockDeviceMapping, ...] = (),
    ) -> None:
        def deed(driver: Driver, checkpoint: Checkpoint) -> None:
            driver.migrate_live(
                instance,
                to_host=to_host,
                target=target,
                disks_there=disks_there,
                checkpoint=checkpoint,
            )

        self._start(ctx, Request(op, host, instance.uuid, "migrate_live"), deed)

    def welcome(self, ctx: RequestContext, op: str, host: str, instance: Instance) -> None:
        request = Request(op, host, instance.uuid, "welcome")
        self._start(ctx, request, lambda driver, _: driver.welcome(instance))

    def live_progress(
        self, ctx: RequestContext, host: str, instance_uuid: str
    ) -> MigrationProgress:
        return self._hosts.driver(host).live_progress(instance_uuid)

    def complete_live(self, ctx: RequestContext, host: str, instance_uuid: str) -> None:
        self._hosts.driver(host).complete_live(instance_uuid)

    def cache_images(self, ctx: RequestContext, host: str, image_ids: list[str]) -> None:
        self._warming.start(ctx, host, image_ids)

    def cancel(self, ctx: RequestContext, op: str, host: str) -> None:
        self._operations.cancel(op, host)

    def power_host(self, ctx: RequestContext, host: str, *, action: HostPowerAction) -> None:
        self._hosts.driver(host).power_host(action)

    def set_maintenance(self, ctx: RequestContext, host: str, *, on: bool) -> None:
        self._hosts.driver(host).set_maintenance(on=on)

    def console_output(
        self, ctx: RequestContext, host: str, instance: Instance, *, tail_bytes: int = 102400
    ) -> str:
        return self._hosts.driver(host).console_output(instance.uuid, tail_bytes=tail_bytes)

    def console(
        self, ctx: RequestContext, host: str, instance_uuid: str, *, kind: ConsoleKind
    ) -> ConsoleAddress:
        return self._hosts.driver(host).console(instance_uuid, kind)

    def place(self, ctx: RequestContext, host: str, instance_uuid: str) -> GuestPlace:
        return self._hosts.driver(host).place(instance_uuid)

    def diagnostics(self, ctx: RequestContext, host: str, instance_uuid: str) -> Diagnostics:
        return self._hosts.driver(host).diagnostics(instance_uuid)

    def quiesce(self, ctx: RequestContext, host: str, instance: Instance) -> bool:
        return self._quieting.begin(self._hosts.driver(host), instance)

    def unquiesce(self, ctx: RequestContext, host: str, instance: Instance) -> None:
        self._quieting.end(self._hosts.driver(host), instance)

    def run(self, operation: Operation) -> None:
        """Do what a lost message asked for. Raises: HostNotFound, Invalid."""
        if operation.again:
            self._operations.allow_again(operation.id)
        dispatch(self, operation.method, operation.context, operation.payload)

    def _start(self, ctx: RequestContext, request: Request, deed: _Deed) -> None:
        def work(checkpoint: Checkpoint) -> dict[str, Any]:
            driver = self._hosts.driver(request.host)
            # Whatever comes of it, what the conductor was told before holds no longer.
            self._power_watch.told(request.instance_uuid, None)
            given = deed(driver, checkpoint)
            if given is None:
                return {}
            if isinstance(given, LiveTarget):
                return dict(msgspec.to_builtins(given))
            self._power_watch.told(request.instance_uuid, given)
            return {"power_state": int(given)}

        self._operations.start(ctx, request, work)

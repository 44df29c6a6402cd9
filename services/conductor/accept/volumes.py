# SPDX-License-Identifier: Apache-2.0
"""Accepting changes of an instance's volumes, and what the volume service tells of them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.context import RequestContext, service_context
from common.errors import (
    DeviceInUse,
    HostDown,
    HostNotFound,
    Invalid,
    InvalidVolume,
    TooManyDevices,
    VolumeNotAttached,
)
from common.guest_hardware.disk_names import DEV
from common.ids import NewUuid
from common.objects.block_device import BlockDeviceMapping
from common.objects.external_event import ExternalEvent
from common.objects.instance import Instance
from common.objects.volume import RequestedVolume
from common.states import VmState
from services.conductor.accept.admission import Admission, Operation
from services.conductor.accept.disks import device_name, names_of
from services.conductor.db import instances, services, task_ends
from services.conductor.tasks.assisted_snapshots import MergeVolumeSnapshot, SnapshotVolume
from services.conductor.tasks.volumes import (
    AttachVolume,
    DetachVolume,
    ExtendVolume,
    SwapVolume,
    VolumeParams,
    changed,
)

_ATTACH = Operation("attach_volume", AttachVolume.name, None, on_host=False)
_ATTACH_UNSHELVED = Operation("attach_volume_unshelved", AttachVolume.name, None)
_DETACH = Operation("detach_volume", DetachVolume.name, None, on_host=False)
_DETACH_UNSHELVED = Operation("detach_volume_unshelved", DetachVolume.name, None)
_SWAP = Operation("swap_volume", SwapVolume.name, None)
_EXTEND = Operation("extend_volume", ExtendVolume.name, None)
_SNAPSHOT = Operation("snapshot_volume", SnapshotVolume.name, None)
_MERGE = Operation("snapshot_volume", MergeVolumeSnapshot.name, None)


class AcceptVolumes:
    """`most_disks`: how many disks an instance may have; -1 as many as it likes.

    Each raises: InstanceNotFound, InstanceLocked, InstanceInvalidState, InstanceNotReady.
    """

    def __init__(
        self, admission: Admission, *, new_uuid: NewUuid, down_after_s: float, most_disks: int = -1
    ) -> None:
        self._admission = admission
        self._new_uuid = new_uuid
        self._down_after_s = down_after_s
        self._most_disks = most_disks

    def attach(
        self, ctx: RequestContext, instance: str, wanted: RequestedVolume, *, shelved_too: bool
    ) -> str:
        """Insert a task; its id. Raises: InvalidVolume, DeviceInUse, TooManyDevices, Invalid."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            disk = self._new_disk(found, wanted)
            instances.change(conn, instance, block_devices=(*found.block_devices, disk))
            return _params(disk)

        operation = _ATTACH if shelved_too else _ATTACH_UNSHELVED
        return self._admission.admit(ctx, instance, operation, prepare=prepare)

    def attached(self, ctx: RequestContext, instance: str, task: str) -> str | None:
        """The device name, once the volume is kept for the instance; None before.

        Raises: TaskNotFound, and what the task failed with.
        """
        with self._admission.begin() as conn:
            reached = task_ends.has_passed(conn, task, "reserve", instance=instance)
            if not reached:
                return None
            disk = msgspec.convert(reached, VolumeParams).disk
        return disk.device_name

    def detach(
        self, ctx: RequestContext, instance: str, volume_id: str, *, shelved_too: bool
    ) -> str:
        """Insert a task; its id. Raises: VolumeNotAttached, Invalid (its root), HostDown."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            disk = disk_of(found, volume_id)
            if disk.boot_index == 0:
                raise Invalid("Cannot detach a root device volume")
            if found.host is not None:
                self._check_up(conn, found.host)
            return _params(disk)

        operation = _DETACH if shelved_too else _DETACH_UNSHELVED
        return self._admission.admit(ctx, instance, operation, prepare=prepare)

    def detaching(self, ctx: RequestContext, instance: str, task: str) -> bool:
        """Whether the volume service shows that the volume is detached, or it is already.

        Raises: TaskNotFound, and what the task failed with before.
        """
        with self._admission.begin() as conn:
            reached = task_ends.has_passed(conn, task, "begin_detaching", instance=instance)
        return reached is not None

    def swap(
        self, ctx: RequestContext, instance: str, volume_id: str, wanted: RequestedVolume
    ) -> None:
        """Insert a task. Raises: VolumeNotAttached, InvalidVolume."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            disk = disk_of(found, volume_id)
            _check_new(found, wanted.volume_id)
            by = msgspec.structs.replace(
                disk,
                volume_id=wanted.volume_id,
                size_gib=wanted.size_gib or disk.size_gib,
                multiattach=wanted.multiattach,
                attachment_id=None,
                connection=None,
            )
            return _params(disk, by=by)

        self._admission.admit(ctx, instance, _SWAP, prepare=prepare)

    def update(
        self, ctx: RequestContext, instance: str, volume_id: str, *, delete_on_termination: bool
    ) -> None:
        """Say at once whether the volume ends with the instance. Raises: VolumeNotAttached."""
        with self._admission.begin() as conn:
            found = self._admission.find(conn, ctx, instance)
            disk = disk_of(found, volume_id)
            new = msgspec.structs.replace(disk, delete_on_termination=delete_on_termination)
            disks = changed(found, disk.uuid, lambda _: new)
            instances.change(conn, instance, block_devices=disks)

    def snapshot(
        self, ctx: RequestContext, volume_id: str, *, snapshot_id: str, new_file: str
    ) -> None:
        """Insert a task. Raises: VolumeNotAttached, InvalidVolume."""
        more = {"snapshot_id": snapshot_id, "new_file": new_file}
        self._assist(ctx, volume_id, _SNAPSHOT, more)

    def merge_snapshot(
        self,
        ctx: RequestContext,
        volume_id: str,
        *,
        snapshot_id: str,
        delete_info: Mapping[str, Any],
    ) -> None:
        """Insert a task. Raises: VolumeNotAttached, InvalidVolume."""
        more = {"snapshot_id": snapshot_id, "delete_info": dict(delete_info)}
        self._assist(ctx, volume_id, _MERGE, more)

    # --- what the volume service tells ---

    def volume_extended(self, event: ExternalEvent) -> None:
        """A volume has grown under its instance. Raises: VolumeNotAttached."""

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            return _params(disk_of(found, str(event.tag)))

        self._admission.admit(service_context(), event.server_uuid, _EXTEND, prepare=prepare)

    # --- parts ---

    def _new_disk(self, found: Instance, wanted: RequestedVolume) -> BlockDeviceMapping:
        _check_new(found, wanted.volume_id)
        _check_shelved(found, wanted)
        if self._most_disks >= 0 and len(found.block_devices) >= self._most_disks:
            raise TooManyDevices(most=self._most_disks)
        properties = found.image.properties if found.image else {}
        taken = names_of(found)
        asked = wanted.device_name
        if asked and (asked if asked.startswith(DEV) else DEV + asked) in taken:
            raise DeviceInUse(device=asked)
        disk = BlockDeviceMapping(
            uuid=self._new_uuid(),
            source="volume",
            destination="volume",
            boot_index=None,
            volume_id=wanted.volume_id,
            size_gib=wanted.size_gib,
            device_name=asked,
            delete_on_termination=wanted.delete_on_termination,
            tag=wanted.tag,
            multiattach=wanted.multiattach,
        )
        name = device_name(disk, properties, taken)
        return msgspec.structs.replace(disk, device_name=name)

    def _check_up(self, conn: Connection, host: str) -> None:
        try:
            service = services.get(
                conn, host=host, binary=services.COMPUTE, down_after_s=self._down_after_s
            )
        except HostNotFound as removed:
            raise HostDown from removed
        if not service.is_up:
            raise HostDown

    def _assist(
        self, ctx: RequestContext, volume_id: str, operation: Operation, more: dict[str, Any]
    ) -> None:
        with self._admission.begin() as conn:
            users = instances.with_volume(conn, volume_id)
        if not users:
            raise VolumeNotAttached(volume=volume_id)
        if len(users) > 1:
            raise InvalidVolume(reason=f"volume {volume_id} is attached to several instances")

        def prepare(conn: Connection, found: Instance) -> dict[str, Any]:
            return _params(disk_of(found, volume_id)) | more

        self._admission.admit(ctx, users[0], operation, prepare=prepare)


def disk_of(found: Instance, volume_id: str) -> BlockDeviceMapping:
    """The disk that is a volume. Raises: VolumeNotAttached."""
    for disk in found.block_devices:
        if disk.volume_id == volume_id:
            return disk
    raise VolumeNotAttached(volume=volume_id)


def _check_new(found: Instance, volume_id: str) -> None:
    if any(disk.volume_id == volume_id for disk in found.block_devices):
        raise InvalidVolume(
            reason=f"volume {volume_id} is already attached to instance {found.uuid}"
        )


def _check_shelved(found: Instance, wanted: RequestedVolume) -> None:
    if found.vm_state != VmState.SHELVED_OFFLOADED:
        return
    if wanted.multiattach:
        raise Invalid(
            "Attaching multiattach volumes is not supported for shelved-offloaded instances."
        )
    if wanted.tag is not None:
        raise Invalid("Tagged volume attachment is not supported for shelved-offloaded instances.")


def _params(disk: BlockDeviceMapping, *, by: BlockDeviceMapping | None = None) -> dict[str, Any]:
    return dict(msgspec.to_builtins(VolumeParams(disk=disk, by=by)))

# SPDX-License-Identifier: Apache-2.0
"""Attach, detach, swap and extend a volume of an instance.

The disk stands in the instance's row from the moment that attaching it is accepted, so that the
next one gets another device; it goes when attaching fails. A task may wait for others to end, so
it looks at its turn where the instance is, and what its row says of the disk by then.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.errors import InvalidVolume, VolumeNotAttached
from common.objects.block_device import BlockDeviceMapping
from common.objects.instance import Instance
from common.objects.versioned import Versioned
from common.objects.volume import VolumeConnection
from services.conductor.db import compute_nodes, instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import (
    Call,
    Commit,
    HostStep,
    OnHost,
    PointOfNoReturn,
)
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow
from services.conductor.tasks.storage import connections_of, forget_connections


class VolumeParams(Versioned, frozen=True, kw_only=True):
    """The disk that it is about, as it was when that was asked. `by`: what takes its place."""

    disk: BlockDeviceMapping
    by: BlockDeviceMapping | None = None


class Reach(Versioned, frozen=True, kw_only=True):
    """The host that the instance is on (None: on none), and how that reaches volumes."""

    host: str | None = None
    connector: dict[str, Any] = {}


class VolumeFlow(PowerFlow):
    """The instance's state stays what it is: nothing of it shows what is under way."""

    def undone(self, conn: Connection, task: Task) -> None:
        """There is nothing to put right."""

    def look_up(self, conn: Connection, task: Task) -> Reach:
        """See that the instance has the disk, and where. Again: the same.

        Raises: VolumeNotAttached (it was detached or swapped since that was asked).
        """
        instance = self._ground.instance(conn, task)
        self._disk(conn, task)
        if instance.host is None:
            return Reach()
        connector = compute_nodes.connector_of(conn, instance.host)
        return Reach(host=instance.host, connector=connector)

    def _disk(self, conn: Connection, task: Task) -> BlockDeviceMapping:
        """The disk as the instance's row has it now. Raises: VolumeNotAttached."""
        asked = params_of(task).disk
        for disk in self._ground.instance(conn, task).block_devices:
            if disk.uuid == asked.uuid and disk.volume_id == asked.volume_id:
                return disk
        raise VolumeNotAttached(volume=str(asked.volume_id))

    def _order_for(
        self, conn: Connection, task: Task, method: str, *, owable: bool = False, **arguments: Any
    ) -> HostStep | None:
        """`method` for the instance, where it is on a host."""
        if not _is_on_host(task):
            return None
        return self._order(conn, task, method, owable=owable, **arguments)

    def _change(
        self,
        conn: Connection,
        task: Task,
        change: Callable[[BlockDeviceMapping], BlockDeviceMapping | None],
    ) -> None:
        disks = changed(self._ground.instance(conn, task), params_of(task).disk.uuid, change)
        instances.change(conn, task.instance_uuid, block_devices=disks)


class AttachVolume(VolumeFlow):
    """Give an instance a volume; one that is on no host gets it when it is unshelved.

    attached     every step ran
    as before    the volume service or the host refused: the volume is free again, and the action's
                 message says why
    """

    name = "attach_volume"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.reserve, undo=self.free),
            Commit(self.record_reserved),
            Call(self.connect, when=_is_on_host),
            OnHost(self.attach_volume, undo=self.detach_volume, event="compute_attach_volume"),
            Call(self.complete),
            Commit(self.record),
        )

    def reserve(self, task: Task) -> list[VolumeConnection]:
        """Keep the volume for this instance. Again: it is kept."""
        volumes = [str(params_of(task).disk.volume_id)]
        return list(self._ground.volumes.reserve(task.instance_uuid, volumes))

    def free(self, task: Task) -> None:
        """Let others have the volume. Again: it is free."""
        volumes = [str(params_of(task).disk.volume_id)]
        self._ground.volumes.release(task.instance_uuid, volumes)

    def record_reserved(self, conn: Connection, task: Task) -> None:
        """Show its attachment. Again: cannot be, its commit is also its record."""
        self._change(conn, task, lambda disk: _connected(task, disk))

    def connect(self, task: Task) -> list[VolumeConnection]:
        """Let the host reach the volume. Again: it is connected anew."""
        disk = params_of(task).disk
        volumes = [(str(disk.volume_id), disk.device_name or "")]
        return list(
            self._ground.volumes.connect(task.instance_uuid, _reach(task).connector, volumes)
        )

    def attach_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host give the guest the volume. Again: one that is there is kept."""
        disk = _connected(task, self._disk(conn, task))
        return self._order_for(conn, task, "attach_volume", disk=disk)

    def detach_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host take it away. Again: nothing to take away is fine."""
        disk = _connected(task, self._disk(conn, task))
        return self._order_for(conn, task, "detach_volume", disk=disk, owable=True)

    def complete(self, task: Task) -> None:
        """Say that the instance has it, also one that is on no host. Again: it has."""
        self._ground.volumes.complete(each.attachment_id for each in _attachments(task))

    def record(self, conn: Connection, task: Task) -> None:
        """Write down how it is connected. Again: cannot be, its commit is also its record."""
        self._change(conn, task, lambda disk: _connected(task, disk))
        forget_connections(task, "reserve", "connect")

    def undone(self, conn: Connection, task: Task) -> None:
        """The instance does not have the disk."""
        self._change(conn, task, lambda _: None)
        forget_connections(task, "reserve", "connect")


class DetachVolume(VolumeFlow):
    """Take a volume from an instance.

    detached     every step ran
    as before    the volume service or the host refused, or the guest did not let go: the action's
                 message says why
    half         the guest has lost the disk, but the volume service refused for good: the volume
                 is still attached there, the action's message says why. It may be detached again
    """

    name = "detach_volume"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.begin_detaching, undo=self.roll_detaching, when=_is_on_host),
            OnHost(self.detach_volume, undo=self.attach_volume, event="compute_detach_volume"),
            PointOfNoReturn("the guest has lost the disk"),
            Call(self.free),
            Commit(self.forget),
        )

    def begin_detaching(self, task: Task) -> bool:
        """Show that the volume is detached; whoever asked waits for it. Again: it shows."""
        self._ground.volumes.begin_detaching(str(params_of(task).disk.volume_id))
        return True

    def roll_detaching(self, task: Task) -> None:
        """Show that it stays. Again: it shows."""
        if _is_on_host(task):
            self._ground.volumes.roll_detaching(str(params_of(task).disk.volume_id))

    def detach_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host take it away. Again: nothing to take away is fine."""
        return self._order_for(conn, task, "detach_volume", disk=self._disk(conn, task))

    def attach_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host give it back, where it was taken half. Again: one that is there is kept."""
        disk = self._disk(conn, task)
        return self._order_for(conn, task, "attach_volume", disk=disk, owable=True)

    def free(self, task: Task) -> None:
        """Let others have the volume. Again: they may."""
        volumes = [str(params_of(task).disk.volume_id)]
        self._ground.volumes.release(task.instance_uuid, volumes)

    def forget(self, conn: Connection, task: Task) -> None:
        """Show the disk no more. Again: cannot be, its commit is also its record."""
        self._change(conn, task, lambda _: None)


class SwapVolume(VolumeFlow):
    """Copy a volume's data to another one, which takes its place in the guest.

    swapped      every step ran; where the volume service itself asked for it, the volume keeps its
                 id
    as before    somebody refused: the new volume is free again, the action's message says why
    half         the guest uses the new volume, but the volume service was not told for good: the
                 action's message says so
    """

    name = "swap_volume"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.look),
            Call(self.begin_detaching, undo=self.roll_detaching),
            Call(self.reserve, undo=self.free),
            Call(self.connect),
            OnHost(self.swap_volume, undo=self.swap_back, event="compute_swap_volume"),
            PointOfNoReturn("the guest uses the new volume"),
            Commit(self.record),
            Call(self.finish),
            Commit(self.settle),
        )

    def look(self, task: Task) -> bool:
        """Whether the volume service has the volume moved. Again: the same."""
        return self._ground.volumes.get(str(params_of(task).disk.volume_id)).is_migrating

    def begin_detaching(self, task: Task) -> None:
        """Show that the old volume is detached. Again: it shows."""
        self._ground.volumes.begin_detaching(str(params_of(task).disk.volume_id))

    def roll_detaching(self, task: Task) -> None:
        """Show that the old volume stays. Again: it shows."""
        self._ground.volumes.roll_detaching(str(params_of(task).disk.volume_id))

    def reserve(self, task: Task) -> list[VolumeConnection]:
        """Keep the new volume for this instance. Again: it is kept."""
        return list(self._ground.volumes.reserve(task.instance_uuid, [_new_volume(task)]))

    def free(self, task: Task) -> None:
        """Let others have the new volume. Again: they may."""
        self._ground.volumes.release(task.instance_uuid, [_new_volume(task)])

    def connect(self, task: Task) -> list[VolumeConnection]:
        """Let the host reach the new volume. Again: it is connected anew."""
        volumes = [(_new_volume(task), params_of(task).disk.device_name or "")]
        return list(
            self._ground.volumes.connect(task.instance_uuid, _reach(task).connector, volumes)
        )

    def swap_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host copy, and use the copy. Again: what is copied is kept."""
        disk = self._disk(conn, task)
        return self._swap(conn, task, disk, _replacement(task, disk))

    def swap_back(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host use the old volume, which it may do all along. Again: it does."""
        disk = self._disk(conn, task)
        return self._swap(conn, task, _replacement(task, disk), disk)

    def _swap(
        self, conn: Connection, task: Task, disk: BlockDeviceMapping, by: BlockDeviceMapping
    ) -> HostStep:
        instance = self._ground.instance(conn, task)
        return self._ground.order(
            conn,
            "swap_volume",
            instance,
            host=self._host(instance),
            deadline_s=self._ground.limits.snapshot_timeout_s,
            disk=disk,
            by=by,
        )

    def record(self, conn: Connection, task: Task) -> str | None:
        """Write down what the guest uses; the old attachment.

        Again: cannot be, its commit is also its record.
        """
        before = self._disk(conn, task)
        self._change(conn, task, lambda disk: _replacement(task, disk))
        return before.attachment_id

    def finish(self, task: Task) -> str:
        """Tell the volume service; the id that the volume has from now on. Again: the same.

        It says so itself where it had the volume moved; else the old one is free.
        """
        volumes = self._ground.volumes
        old, new = str(params_of(task).disk.volume_id), _new_volume(task)
        volumes.complete(each.attachment_id for each in connections_of(task, "connect"))
        if task.results["record"]:
            volumes.drop([task.results["record"]])
        if not task.results["look"]:
            return new
        try:
            return volumes.finish_migration(old, new, failed=False)
        except InvalidVolume:
            if volumes.get(old).is_migrating:
                raise
            return old  # it was told before

    def settle(self, conn: Connection, task: Task) -> None:
        """Show the volume under its id. Again: cannot be, its commit is also its record."""
        volume_id = task.results["finish"]
        self._change(conn, task, lambda disk: msgspec.structs.replace(disk, volume_id=volume_id))
        forget_connections(task, "reserve", "connect")

    def undone(self, conn: Connection, task: Task) -> None:
        """As before; connections are forgotten."""
        forget_connections(task, "reserve", "connect")


class ExtendVolume(VolumeFlow):
    """Show a guest that one of its volumes has grown.

    extended     every step ran
    as before    the host refused: the action's message says why; the guest sees it when it is
                 started anew
    """

    name = "extend_volume"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.measure),
            OnHost(self.extend_volume, event="compute_extend_volume"),
            Commit(self.record),
        )

    def measure(self, task: Task) -> int:
        """How large the volume is now, in GiB. Again: the same."""
        return self._ground.volumes.get(str(params_of(task).disk.volume_id)).size_gib

    def extend_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host show it. Again: the same."""
        return self._order_for(conn, task, "extend_volume", disk=self._grown(conn, task))

    def record(self, conn: Connection, task: Task) -> None:
        """Write its size down. Again: cannot be, its commit is also its record."""
        grown = self._grown(conn, task)
        self._change(conn, task, lambda _: grown)

    def _grown(self, conn: Connection, task: Task) -> BlockDeviceMapping:
        size_gib = task.results["measure"]
        return msgspec.structs.replace(self._disk(conn, task), size_gib=size_gib)


def changed(
    instance: Instance,
    disk_uuid: str,
    change: Callable[[BlockDeviceMapping], BlockDeviceMapping | None],
) -> tuple[BlockDeviceMapping, ...]:
    """The instance's disks with one of them changed, or gone where `change` gives None."""
    disks = (change(disk) if disk.uuid == disk_uuid else disk for disk in instance.block_devices)
    return tuple(disk for disk in disks if disk is not None)


def params_of(task: Task) -> VolumeParams:
    """What the task is about."""
    return msgspec.convert(task.params, VolumeParams)


def _reach(task: Task) -> Reach:
    return task.result("look_up", Reach)


def _is_on_host(task: Task) -> bool:
    return _reach(task).host is not None


def _new_volume(task: Task) -> str:
    return str(task.params["by"]["volume_id"])


def _attachments(task: Task) -> tuple[VolumeConnection, ...]:
    """How the volume is attached: to the host, or kept for one."""
    return connections_of(task, "connect") or connections_of(task, "reserve")


def _connected(task: Task, disk: BlockDeviceMapping) -> BlockDeviceMapping:
    """The disk as it is attached: to the host, or kept for one."""
    for each in _attachments(task):
        return msgspec.structs.replace(
            disk, attachment_id=each.attachment_id, connection=each.connection
        )
    return disk


def _replacement(task: Task, disk: BlockDeviceMapping) -> BlockDeviceMapping:
    """The disk with the new volume, as the host reaches that."""
    by = msgspec.convert(task.params["by"], BlockDeviceMapping)
    new = msgspec.structs.replace(
        disk,
        volume_id=by.volume_id,
        size_gib=by.size_gib,
        multiattach=by.multiattach,
        attachment_id=None,
        connection=None,
    )
    for each in connections_of(task, "connect"):
        return msgspec.structs.replace(
            new, attachment_id=each.attachment_id, connection=each.connection
        )
    return new

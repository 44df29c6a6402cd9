# SPDX-License-Identifier: Apache-2.0
"""Rebuild: an instance's disks and guest made anew, on the host, ports and claim that it has."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.objects.injected_file import InjectedFile
from common.objects.versioned import Versioned
from common.objects.volume import VolumeConnection
from common.states import PowerState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow
from services.conductor.tasks.storage import (
    await_volumes,
    connect_and_complete,
    connections_of,
    forget_connections,
    with_connections,
)


class Reimage(Versioned, frozen=True, kw_only=True):
    """The root volume that gets another image's data, and how the host reaches it."""

    volume_id: str
    device_name: str
    image_id: str
    connector: dict[str, Any] = {}


class Rebuild(PowerFlow):
    """Make an instance anew from the image that its row names by now.

    ACTIVE    it runs from the new image
    SHUTOFF   it was stopped before
    ERROR     its old disk is gone and the host could not make the new one: the fault says why. It
              may be rebuilt again
    """

    name = "rebuild"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.take_down),
            Call(self.keep_volume, when=_reimages),
            Call(self.reimage, when=_reimages),
            Call(self.await_volume, when=_reimages),
            Call(self.connect_volume, when=_reimages),
            OnHost(self.rebuild, event="compute_rebuild_instance"),
            OnHost(self.power_off, event="compute_stop_instance"),
            Commit(self.record),
        )

    def take_down(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host let go of a root volume that gets other data. Again: it has."""
        return self._order(conn, task, "destroy") if _reimages(task) else None

    def keep_volume(self, task: Task) -> list[VolumeConnection]:
        """Keep the root volume, connected to no host. Again: fine."""
        root = _reimage(task).volume_id
        return list(self._ground.volumes.reserve_anew(task.instance_uuid, [root]))

    def reimage(self, task: Task) -> None:
        """Have the volume service write the image into it. Again: once more."""
        self._ground.volumes.reimage(_reimage(task).volume_id, _reimage(task).image_id)

    def await_volume(self, task: Task) -> None:
        """Wait until the data is written. Again: the same."""
        await_volumes(self._ground, [_reimage(task).volume_id])

    def connect_volume(self, task: Task) -> list[VolumeConnection]:
        """Let the host reach it again. Again: it is connected anew."""
        root = _reimage(task)
        return connect_and_complete(
            self._ground, task.instance_uuid, root.connector, [(root.volume_id, root.device_name)]
        )

    def rebuild(self, conn: Connection, task: Task) -> HostStep:
        """Have the host make disks and guest anew. Again: under one id it does so once."""
        before = self._ground.instance(conn, task)
        disks = with_connections(before, connections_of(task, "connect_volume"))
        if disks != before.block_devices:
            instances.change(conn, task.instance_uuid, block_devices=disks)
            forget_connections(task, "keep_volume", "connect_volume")
        instance = msgspec.structs.replace(
            before,
            block_devices=disks,
            admin_password=task.secret,
            injected_files=msgspec.convert(task.params["injected_files"], tuple[InjectedFile, ...]),
        )
        return self._ground.order(
            conn,
            "rebuild",
            instance,
            host=self._host(instance),
            deadline_s=self._ground.limits.build_timeout_s,
            preserve_ephemeral=bool(task.params["preserve_ephemeral"]),
        )

    def power_off(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host stop a guest that was stopped before. Again: it stays so."""
        if task.params["vm_state"] != VmState.STOPPED:
            return None
        return self._order(conn, task, "power_off", grace_s=0)

    def record(self, conn: Connection, task: Task) -> None:
        """Show it as it is now. Again: cannot be, its commit is also its record."""
        instances.change(conn, task.instance_uuid, launched_at=self._ground.clock.now())
        if task.params["vm_state"] == VmState.STOPPED:
            self._rest(conn, task, "power_off", VmState.STOPPED, PowerState.SHUTDOWN)
        else:
            self._rest(conn, task, "rebuild", VmState.ACTIVE, PowerState.RUNNING)

    def undone(self, conn: Connection, task: Task) -> None:
        """ERROR with the reason, unless a deletion goes on from here: the old disk is gone."""
        if not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))


def _reimages(task: Task) -> bool:
    return task.params.get("reimage") is not None


def _reimage(task: Task) -> Reimage:
    return msgspec.convert(task.params["reimage"], Reimage)

# SPDX-License-Identifier: Apache-2.0
"""Shelve and offload: an instance is switched off, imaged, and taken from its host."""

from sqlalchemy.engine import Connection

from common.objects.volume import VolumeConnection
from common.states import PowerState, TaskState, VmState
from services.conductor import claims
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.snapshot import ImageFlow
from services.conductor.tasks.storage import (
    connections_of,
    leaving,
    note_leaving,
    reserve_leaving,
    with_connections,
)

# In `system_metadata` of a shelved instance: since when, and the image that it comes back from.
SHELVED_AT_KEY, SHELVED_IMAGE_KEY = "shelved_at", "shelved_image_id"
# A guest in one of these goes on running when shelving it fails.
_WENT_ON = frozenset((VmState.ACTIVE, VmState.PAUSED))


def _has_image(task: Task) -> bool:
    return task.params.get("image_id") is not None


class Offloading(ImageFlow):
    """Steps that take an instance from its host, behind a point of no return."""

    def destroy(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host remove guest and disks. Again: nothing left to remove is fine."""
        if not task.params["offload"]:
            return None
        note_leaving(task, self._ground.instance(conn, task))
        return self._order(conn, task, "destroy", owable=True)

    def keep_volumes(self, task: Task) -> list[VolumeConnection]:
        """Keep its volumes for it, connected to no host. Again: fine."""
        return reserve_leaving(self._ground, task)

    def offload(self, conn: Connection, task: Task) -> None:
        """Give the room back and leave the host. Again: cannot be, its commit is its record."""
        if not task.params["offload"]:
            return
        freed = claims.release(conn, task.instance_uuid)
        kept = connections_of(task, "keep_volumes")
        disks = with_connections(self._ground.instance(conn, task), kept)
        instances.change(
            conn,
            task.instance_uuid,
            block_devices=disks,
            vm_state=VmState.SHELVED_OFFLOADED,
            task_state=None,
            power_state=PowerState.SHUTDOWN,
            host=None,
            node=None,
            availability_zone=None,
        )
        task.after(lambda: self._ground.hosts_changed(freed))

    def failed(self, conn: Connection, task: Task) -> None:
        """SHELVED on its host, with the reason in the action: it may be offloaded again."""
        instances.change(conn, task.instance_uuid, task_state=None)


class Shelve(Offloading):
    """Switch an instance off, keep its root disk as an image, and take it from its host if asked.

    SHELVED            its guest is off, its image has the root disk
    SHELVED_OFFLOADED  the same, and it holds nothing on any host
    state before       a step failed: the image is deleted, a guest that ran runs again (one that
                       was paused is ACTIVE then), the action's message says why
    ERROR              the guest could not be started again: the fault names the host
    """

    name = "shelve"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.check_image, undo=self.delete_image, when=_has_image),
            OnHost(self.power_off, undo=self.power_on, event="compute_shelve_instance"),
            OnHost(self.snapshot, undo=self.discard_snapshot, event="compute_snapshot_instance"),
            Commit(self.show_upload),
            OnHost(self.upload_snapshot, event="compute_upload_snapshot"),
            PointOfNoReturn("the image has what the root disk had"),
            Commit(self.record),
            OnHost(self.destroy, event="compute_shelve_offload_instance"),
            Call(self.keep_volumes, when=leaving),
            Commit(self.offload),
        )

    def delete_image(self, task: Task) -> None:
        """Nobody will fill it. Again: it is gone."""
        if _has_image(task):
            super().delete_image(task)

    def power_off(self, conn: Connection, task: Task) -> HostStep:
        """Have the host stop the guest, cleanly if it follows. Again: a stopped one stays so."""
        grace_s = self._ground.grace_s(self._ground.instance(conn, task))
        return self._order(conn, task, "power_off", more_s=grace_s, grace_s=grace_s)

    def power_on(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host start a guest that ran before; one that is down does when it is back.

        Again: a running one is left alone.
        """
        if task.abort_requested or self._ground.instance(conn, task).vm_state not in _WENT_ON:
            return None
        return self._order(conn, task, "power_on", owable=True)

    def snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host write the root disk into a file. Again: anew."""
        return super().snapshot(conn, task) if _has_image(task) else None

    def discard_snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host remove the file. Again: nothing left to remove is fine."""
        return super().discard_snapshot(conn, task) if _has_image(task) else None

    def upload_snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host send the file. Again: an image that has its data is left alone."""
        return super().upload_snapshot(conn, task) if _has_image(task) else None

    def show_upload(self, conn: Connection, task: Task) -> None:
        """Show that the copy is made. Again: cannot be, its commit is also its record."""
        if _has_image(task):
            state = TaskState.SHELVING_IMAGE_UPLOADING
            instances.change(conn, task.instance_uuid, task_state=state)

    def record(self, conn: Connection, task: Task) -> bool:
        """Show it as shelved. Again: cannot be, its commit is also its record."""
        instance = self._ground.instance(conn, task)
        marks = {SHELVED_AT_KEY: self._ground.clock.now().isoformat()}
        if _has_image(task):
            marks[SHELVED_IMAGE_KEY] = str(task.params["image_id"])
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=VmState.SHELVED,
            task_state=TaskState.SHELVING_OFFLOADING if task.params["offload"] else None,
            power_state=PowerState.SHUTDOWN,
            system_metadata=instance.system_metadata | marks,
        )
        return True

    def undone(self, conn: Connection, task: Task) -> None:
        """The state before; a guest that was paused runs now."""
        if task.abort_requested:
            return
        was_paused = self._ground.instance(conn, task).vm_state == VmState.PAUSED
        became = {"vm_state": VmState.ACTIVE} if was_paused else {}
        instances.change(conn, task.instance_uuid, task_state=None, **became)

    def failed(self, conn: Connection, task: Task) -> None:
        """SHELVED where it came so far; else ERROR: nobody knows what is left of the guest."""
        if "record" in task.results:
            super().failed(conn, task)
        elif not task.abort_requested:
            self._ground.rest_in_error(conn, task, str(task.reason))


class ShelveOffload(Offloading):
    """Take a shelved instance from its host.

    SHELVED_OFFLOADED  it holds nothing on any host; one that is down cleans up when it is back
    SHELVED            the host refused: the action's message says why
    """

    name = "shelve_offload"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            PointOfNoReturn("its image has what its root disk had"),
            OnHost(self.destroy, event="compute_shelve_offload_instance"),
            Call(self.keep_volumes, when=leaving),
            Commit(self.offload),
        )

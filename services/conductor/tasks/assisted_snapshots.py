# SPDX-License-Identifier: Apache-2.0
"""Snapshots that the volume service has hosts make, of volumes that are files a guest writes to."""

import logging

from sqlalchemy.engine import Connection

from common.errors import InvalidVolume, SnapshotNotFound
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.volumes import VolumeFlow

LOG = logging.getLogger(__name__)


class AssistedSnapshot(VolumeFlow):
    """Something that a host does to the files of a volume, and that the volume service hears of.

    done      the snapshot has the status `success`, in which the volume service goes on
    refused   the host could not: the snapshot has the status `failure`, the log says why
    """

    success: str
    failure: str

    def expect(self, task: Task) -> None:
        """Nothing yet. Again: nothing."""

    def tell_failure(self, task: Task) -> None:
        """Tell the volume service that nothing comes of it. Again: the same.

        It may have forgotten the snapshot by now, which is no failure of ours.
        """
        try:
            self._tell(task, self.failure, "0%")
        except (SnapshotNotFound, InvalidVolume) as refused:
            LOG.warning("The volume service does not hear of the failure: %s", refused)

    def tell_success(self, task: Task) -> None:
        """Tell the volume service to go on. Again: the same."""
        self._tell(task, self.success, "90%")

    def rest(self, conn: Connection, task: Task) -> None:
        """Nothing of the instance has changed."""

    def _tell(self, task: Task, status: str, progress: str) -> None:
        snapshot = str(task.params["snapshot_id"])
        self._ground.volumes.show_snapshot(snapshot, status=status, progress=progress)


class SnapshotVolume(AssistedSnapshot):
    """Have the guest write into a new file from now on; the one below it is the snapshot."""

    name = "snapshot_volume"
    success, failure = "creating", "error"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.expect, undo=self.tell_failure),
            Commit(self.look_up),
            OnHost(self.snapshot_volume),
            Call(self.tell_success),
            Commit(self.rest),
        )

    def snapshot_volume(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host do it. Again: it is done."""
        return self._order_for(
            conn,
            task,
            "snapshot_volume",
            disk=self._disk(conn, task),
            new_file=str(task.params["new_file"]),
        )


class MergeVolumeSnapshot(AssistedSnapshot):
    """Merge a snapshot's file into a neighbour."""

    name = "merge_volume_snapshot"
    success, failure = "deleting", "error_deleting"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.expect, undo=self.tell_failure),
            Commit(self.look_up),
            OnHost(self.merge_volume_snapshot),
            Call(self.tell_success),
            Commit(self.rest),
        )

    def merge_volume_snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host do it. Again: it is done."""
        return self._order_for(
            conn,
            task,
            "merge_volume_snapshot",
            disk=self._disk(conn, task),
            delete_info=task.params["delete_info"],
        )

# SPDX-License-Identifier: Apache-2.0
"""Snapshot: a queued image is filled with what an instance has on its root disk."""

from typing import Any

from sqlalchemy.engine import Connection

from common.errors import ImageUnacceptable
from common.states import TaskState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow


class ImageFlow(PowerFlow):
    """Steps of flows that fill a queued image, `image_id` of their parameters, from a root disk."""

    def check_image(self, task: Task) -> None:
        """See that the image waits for its data. Again: it still does.

        Raises: ImageNotFound (its owner deleted it), ImageUnacceptable (it has data).
        """
        image_id = str(task.params["image_id"])
        status = self._ground.images.get(image_id).status
        if status != "queued":
            raise ImageUnacceptable(image=image_id, reason=f"it is {status} and not queued")

    def delete_image(self, task: Task) -> None:
        """Nobody will fill it. Again: it is gone."""
        self._ground.drop_image(str(task.params["image_id"]))

    def snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host write the root disk into a file. Again: anew."""
        return self._with_image(conn, task, "snapshot")

    def upload_snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host send the file. Again: an image that has its data is left alone."""
        return self._with_image(conn, task, "upload_snapshot")

    def discard_snapshot(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host remove the file. Again: nothing left to remove is fine."""
        return self._with_image(conn, task, "discard_snapshot", owable=True)

    def _with_image(
        self, conn: Connection, task: Task, method: str, *, owable: bool = False
    ) -> HostStep:
        instance = self._ground.instance(conn, task)
        limits = self._ground.limits
        is_long = method != "discard_snapshot"
        return self._ground.order(
            conn,
            method,
            instance,
            host=self._host(instance),
            deadline_s=limits.snapshot_timeout_s if is_long else limits.operation_timeout_s,
            owable=owable,
            image_id=task.params["image_id"],
        )


class Snapshot(ImageFlow):
    """Fill an image from an instance that goes on as it is.

    image active    it has what the root disk had; older backups are rotated away, if asked for
    image deleted   the host could not, or its owner deleted it: the action's message says why
    """

    name = "snapshot"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.check_image, undo=self.delete_image),
            OnHost(self.snapshot, undo=self.discard_snapshot, event="compute_snapshot_instance"),
            Commit(self.show_upload),
            OnHost(self.upload_snapshot, event="compute_upload_snapshot"),
            PointOfNoReturn("the image has its data"),
            Commit(self.record),
            Call(self.rotate, when=lambda task: task.params.get("rotation") is not None),
        )

    def show_upload(self, conn: Connection, task: Task) -> None:
        """Show that the copy is made. Again: cannot be, its commit is also its record."""
        instances.change(conn, task.instance_uuid, task_state=TaskState.IMAGE_UPLOADING)

    def record(self, conn: Connection, task: Task) -> bool:
        """Show that nothing is under way. Again: cannot be, its commit is also its record."""
        instances.change(conn, task.instance_uuid, task_state=None)
        return True

    def rotate(self, task: Task) -> None:
        """Delete the oldest backups of this type. Again: what is gone stays gone.

        One that its owner keeps (a protected image) is no reason to fail.
        """
        params: dict[str, Any] = task.params
        backups = self._ground.images.find(
            instance_uuid=task.instance_uuid,
            image_type="backup",
            backup_type=str(params["backup_type"]),
            status="active",
        )
        # The new one is the newest, even where another was made within the same second.
        ids = [str(params["image_id"])]
        ids += [backup.id for backup in backups if backup.id not in ids]
        for old in ids[int(params["rotation"]) :]:
            self._ground.drop_image(old)

    def failed(self, conn: Connection, task: Task) -> None:
        """The state before; behind `record` the instance may be busy with something else by now."""
        if "record" not in task.results:
            self.undone(conn, task)

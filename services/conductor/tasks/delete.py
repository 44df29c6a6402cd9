# SPDX-License-Identifier: Apache-2.0
"""Delete: nothing of an instance is left but its row, marked deleted."""

from sqlalchemy.engine import Connection

from common.objects.migration import MigrationStatus
from common.states import PowerState, VmState
from services.conductor import claims
from services.conductor.db import instances, migrations
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, Flow, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.shares import (
    allow_wanted,
    deny_leaving,
    is_wanted_again,
    let_go_of_all,
    lets_go,
    note_wanted_again,
)
from services.conductor.tasks.storage import leaving, note_leaving, release_leaving

# Moves that may have left something on both hosts.
_UNSETTLED = (
    MigrationStatus.FINISHED, MigrationStatus.CONFIRMING, MigrationStatus.REVERTING,
    MigrationStatus.ERROR, MigrationStatus.CANCELLED,
)  # fmt: skip


class Delete(Flow):
    """Remove the guest, its ports and its claim; free its volumes and shares.

    (gone)   every step ran; where the host is down, the guest is removed when it comes back
    ERROR    the host, the network, the volume or the share service refused for good: the fault
             names the step and the host. It may be deleted again
    """

    name = "delete"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.steps = (
            PointOfNoReturn("its owner wants it gone"),
            OnHost(self.destroy, event="compute_terminate_instance"),
            OnHost(self.destroy_elsewhere),
            Commit(self.let_go_of_shares),
            Call(self.deny_shares, when=lets_go),
            Commit(self.see_shares),
            Call(self.allow_shares, when=is_wanted_again),
            Call(self.delete_ports, when=lambda task: bool(task.params.get("has_networks"))),
            Call(self.release_volumes, when=leaving),
            Call(self.delete_image, when=lambda task: bool(task.params.get("shelved_image_id"))),
            Commit(self.forget),
        )

    def destroy(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host remove guest and disks. Again: nothing left to remove is fine."""
        instance = self._ground.instance(conn, task)
        note_leaving(task, instance)
        if instance.host is None:
            return None
        return self._ground.order(
            conn,
            "destroy",
            instance,
            host=instance.host,
            deadline_s=self._ground.limits.operation_timeout_s,
            owable=True,
        )

    def destroy_elsewhere(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the other host of its last move remove what is there, or may be, where that move was
        neither settled nor completed. Again: nothing left to remove is fine.
        """
        instance = self._ground.instance(conn, task)
        migration = migrations.latest(conn, task.instance_uuid, tuple(MigrationStatus))
        if migration is None or migration.status not in _UNSETTLED:
            return None
        ends = [migration.source_host, migration.dest_host]
        others = [host for host in ends if host not in (None, instance.host)]
        return self._ground.order(
            conn,
            "destroy" if others else "forget_aside",
            instance,
            host=str(others[0] if others else migration.source_host),
            deadline_s=self._ground.limits.operation_timeout_s,
            owable=True,
        )

    def let_go_of_shares(self, conn: Connection, task: Task) -> None:
        """See which shares nobody else on the host has. Again: cannot be, its commit is also its
        record."""
        let_go_of_all(self._ground, conn, task)

    def deny_shares(self, task: Task) -> None:
        """Have the share service let the host mount them no longer. Again: fine."""
        deny_leaving(self._ground, task)

    def see_shares(self, conn: Connection, task: Task) -> None:
        """See who came to want them meanwhile. Again: cannot be, its commit is also its record."""
        note_wanted_again(self._ground, conn, task)

    def allow_shares(self, task: Task) -> None:
        """Have the share service let the host mount those again. Again: it does."""
        allow_wanted(self._ground, task)

    def delete_ports(self, task: Task) -> None:
        """Delete the ports that were made, unbind the others. Again: what is gone is fine."""
        self._ground.ports.unplug(task.instance_uuid)

    def release_volumes(self, task: Task) -> None:
        """Free its volumes, delete those that end with it. Again: what is gone is fine."""
        release_leaving(self._ground, task)

    def delete_image(self, task: Task) -> None:
        """Delete the image that it would have been unshelved from. Again: it is gone."""
        self._ground.drop_image(str(task.params["shelved_image_id"]))

    def forget(self, conn: Connection, task: Task) -> None:
        """Give the room back and mark the row. Again: cannot be, its commit is also its record."""
        freed = claims.release(conn, task.instance_uuid)
        moved = migrations.latest(conn, task.instance_uuid, _UNSETTLED)
        if moved is not None:
            freed += claims.release(conn, moved.uuid)
            if moved.status not in (MigrationStatus.ERROR, MigrationStatus.CANCELLED):
                migrations.change(conn, moved.uuid, status=MigrationStatus.CONFIRMED)
        now = self._ground.clock.now()
        instances.change(
            conn,
            task.instance_uuid,
            vm_state=VmState.DELETED,
            task_state=None,
            power_state=PowerState.NOSTATE,
            progress=0,
            shares=(),
            terminated_at=now,
            deleted_at=now,
        )
        task.after(lambda: self._ground.hosts_changed(freed))

    def failed(self, conn: Connection, task: Task) -> None:
        """ERROR, with the step and the host that refused."""
        self._ground.rest_in_error(conn, task, str(task.reason))

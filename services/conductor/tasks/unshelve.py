# SPDX-License-Identifier: Apache-2.0
"""Unshelve: an instance comes back, on the host where it is still, or on one that is chosen."""

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.objects.image import ImageMeta
from common.objects.network import VirtualInterface
from common.objects.volume import VolumeConnection
from common.states import PowerState, TaskState, VmState
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import (
    UNDONE,
    Call,
    Commit,
    HostStep,
    OnHost,
    PointOfNoReturn,
)
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.placing import (
    PlacingParams,
    claimed_by,
    has_volumes,
    rebound,
    why,
)
from services.conductor.tasks.plugging import Plugging, is_held, power_state_of
from services.conductor.tasks.power import PowerFlow
from services.conductor.tasks.shelve import SHELVED_AT_KEY, SHELVED_IMAGE_KEY
from services.conductor.tasks.storage import connections_of, forget_connections, with_connections


class UnshelveParams(PlacingParams, frozen=True, kw_only=True):
    """`image_id`: what the root disk is made from (None: it boots from a volume)."""

    image_id: str | None = None


class Unshelve(Plugging):
    """Bring an instance that is on no host back onto one.

    ACTIVE             it runs, its image is deleted
    SHELVED_OFFLOADED  no host has room, as many failed as are tried, or a port was not plugged: all
                       is undone, the image is kept, the action's message says why and names the
                       hosts
    ERROR              its guest, which was held, could not go on: the fault says so
    """

    name = "unshelve"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Call(self.look_up_image, when=_has_image),
            Call(self.choose_host, event="conductor_unshelve_instance"),
            Commit(self.claim, undo=self.release),
            Call(self.bind_ports, when=_has_ports),
            Call(self.connect_volumes, undo=self.keep_volumes, when=has_volumes),
            Commit(self.record_devices),
            OnHost(self.build, undo=self.destroy, event="compute_unshelve_instance"),
            Call(self.await_plugged, when=self.is_to_wait),
            PointOfNoReturn("the guest is there"),
            OnHost(self.go_on),
            Commit(self.activate),
            Call(self.delete_image, when=_has_image),
        )

    def shown_when_claimed(self, task: Task) -> dict[str, Any]:
        """The guest is made next."""
        return {"task_state": TaskState.SPAWNING}

    def shown_when_released(self, task: Task) -> dict[str, Any]:
        """Another host is to be chosen, unless a deletion goes on from here."""
        return {} if task.abort_requested else {"task_state": TaskState.UNSHELVING}

    def look_up_image(self, task: Task) -> ImageMeta:
        """What the image is. Again: the same. Raises: ImageNotFound (its owner deleted it)."""
        return self._ground.images.get(str(_params(task).image_id))

    def keep_volumes(self, task: Task) -> list[VolumeConnection] | None:
        """Keep the volumes for it, connected to no host. Again: fine."""
        if not has_volumes(task):
            return None
        ids = [volume_id for volume_id, _ in claimed_by(task).storage.volumes]
        return list(self._ground.volumes.reserve_anew(task.instance_uuid, ids))

    def record_devices(self, conn: Connection, task: Task) -> None:
        """Write down how ports and volumes are bound.

        Again: cannot be, its commit is also its record.
        """
        before, changes = self._ground.instance(conn, task), dict[str, Any]()
        if _has_ports(task):
            bound = task.result("bind_ports", tuple[VirtualInterface, ...])
            changes["vifs"] = rebound(before.vifs, bound)
        if has_volumes(task):
            connections = connections_of(task, "connect_volumes")
            changes["block_devices"] = with_connections(before, connections)
            forget_connections(task, "connect_volumes")
        if changes:
            instances.change(conn, task.instance_uuid, **changes)

    def build(self, conn: Connection, task: Task) -> HostStep:
        """Have the host make disks from the image, and the guest. Again: what is there is kept."""
        instance = self._ground.instance(conn, task)
        if _has_image(task):
            image = task.result("look_up_image", ImageMeta)
            instance = msgspec.structs.replace(instance, image=image)
        return self.order_build(conn, task, instance)

    def activate(self, conn: Connection, task: Task) -> bool:
        """Show it as running. Again: cannot be, its commit is also its record."""
        self.praise(conn, task)
        _show_unshelved(self._ground, conn, task, power_state_of(task))
        return True

    def delete_image(self, task: Task) -> None:
        """What it came back from is not needed any more. Again: it is gone."""
        self._ground.drop_image(str(_params(task).image_id))

    def undone(self, conn: Connection, task: Task) -> None:
        """SHELVED_OFFLOADED, unless a deletion goes on from here."""
        task.reason = why(task)
        kept = connections_of(task, UNDONE + "connect_volumes")
        changes: dict[str, Any] = {} if task.abort_requested else {"task_state": None}
        if kept:
            changes["block_devices"] = with_connections(self._ground.instance(conn, task), kept)
        if changes:
            instances.change(conn, task.instance_uuid, **changes)

    def failed(self, conn: Connection, task: Task) -> None:
        """As `undone`, but for a guest that is there; behind `activate` the instance may be busy
        with something else by now.
        """
        if "activate" in task.results:
            return
        if is_held(task) and self._ground.instance(conn, task).host is not None:
            if not task.abort_requested:
                self._ground.rest_in_error(conn, task, str(task.reason))
        else:
            self.undone(conn, task)


class UnshelveInPlace(PowerFlow):
    """Start a shelved instance on the host where it is still: ACTIVE, or SHELVED with the reason
    in its action.
    """

    name = "unshelve_in_place"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.power_on, event="compute_unshelve_instance"),
            PointOfNoReturn("the guest runs"),
            Commit(self.activate),
            Call(self.delete_image, when=_has_image),
        )

    def power_on(self, conn: Connection, task: Task) -> HostStep:
        """Have the host start the guest. Again: a running guest is left alone."""
        return self._order(conn, task, "power_on")

    def activate(self, conn: Connection, task: Task) -> bool:
        """Show it as running. Again: cannot be, its commit is also its record."""
        reported = task.results.get("power_on") or {}
        power_state = reported.get("power_state", PowerState.RUNNING)
        _show_unshelved(self._ground, conn, task, power_state)
        return True

    def failed(self, conn: Connection, task: Task) -> None:
        """SHELVED; behind `activate` the instance may be busy with something else by now."""
        if "activate" not in task.results:
            self.undone(conn, task)

    def delete_image(self, task: Task) -> None:
        """The disk is still there: nobody needs its image. Again: it is gone."""
        self._ground.drop_image(str(task.params["image_id"]))


def _show_unshelved(ground: Ground, conn: Connection, task: Task, power_state: int) -> None:
    marks = (SHELVED_AT_KEY, SHELVED_IMAGE_KEY)
    system_metadata = ground.instance(conn, task).system_metadata
    instances.change(
        conn,
        task.instance_uuid,
        vm_state=VmState.ACTIVE,
        task_state=None,
        power_state=power_state,
        launched_at=ground.clock.now(),
        system_metadata={k: v for k, v in system_metadata.items() if k not in marks},
    )


def _has_ports(task: Task) -> bool:
    return bool(task.results["claim"].get("ports"))


def _has_image(task: Task) -> bool:
    return task.params.get("image_id") is not None


def _params(task: Task) -> UnshelveParams:
    return msgspec.convert(task.params, UnshelveParams)

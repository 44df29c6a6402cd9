# SPDX-License-Identifier: Apache-2.0
"""Attach and detach an interface: a port of the network service and a device of the guest.

A task may wait for others to end, a move among them, so it looks at its turn where the instance is.
"""

import msgspec
from sqlalchemy.engine import Connection

from common.objects.instance import Instance
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.versioned import Versioned
from services.conductor.db import instances
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow


class AttachParams(Versioned, frozen=True, kw_only=True):
    """What the new interface shall be."""

    wanted: RequestedNetwork


class Whereabouts(Versioned, frozen=True, kw_only=True):
    """What the network service is told of an instance: where it is, whose, and its name."""

    project_id: str
    host: str
    zone: str
    hostname: str = ""


class InterfaceFlow(PowerFlow):
    """The instance's state stays what it is: nothing of it shows what is under way."""

    def undone(self, conn: Connection, task: Task) -> None:
        """There is nothing to put right."""


class AttachInterface(InterfaceFlow):
    """Make or bind one more port, and give the guest a device for it.

    attached     every step ran
    as before    the network service or the host refused: the port is gone or free again, and the
                 action's message says why
    """

    name = "attach_interface"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.plug, undo=self.unplug),
            OnHost(
                self.attach_interface,
                undo=self.detach_interface,
                event="compute_attach_interface",
            ),
            Commit(self.record),
        )

    def look_up(self, conn: Connection, task: Task) -> Whereabouts:
        """See where the instance is. Again: the same. Raises: InstanceNotReady (on no host)."""
        instance = self._ground.instance(conn, task)
        return Whereabouts(
            project_id=instance.project_id,
            host=self._host(instance),
            zone=instance.availability_zone or "",
            hostname=instance.hostname,
        )

    def plug(self, task: Task) -> VirtualInterface:
        """Make or bind the port. Again: finds the one of the first time by the task's name."""
        there = task.result("look_up", Whereabouts)
        return self._ground.ports.attach(
            instance=task.instance_uuid,
            project_id=there.project_id,
            host=there.host,
            zone=there.zone,
            wanted=msgspec.convert(task.params, AttachParams).wanted,
            key=task.uuid,
            hostname=there.hostname,
        )

    def unplug(self, task: Task) -> None:
        """Delete the port that was made, unbind one that was there. Again: it is gone."""
        wanted = msgspec.convert(task.params, AttachParams).wanted
        self._ground.ports.detach(task.instance_uuid, port_id=wanted.port_id, key=task.uuid)

    def attach_interface(self, conn: Connection, task: Task) -> HostStep:
        """Have the host give the guest a device. Again: one that is there is kept."""
        return self._order(conn, task, "attach_interface", vif=_plugged(task))

    def detach_interface(self, conn: Connection, task: Task) -> HostStep:
        """Have the host take the device away. Again: nothing to take away is fine."""
        return self._order(conn, task, "detach_interface", vif=_plugged(task), owable=True)

    def record(self, conn: Connection, task: Task) -> None:
        """Show the interface. Again: cannot be, its commit is also its record."""
        vif, now = _plugged(task), self._ground.instance(conn, task).vifs
        others = tuple(other for other in now if other.port_id != vif.port_id)
        instances.change(conn, task.instance_uuid, vifs=(*others, vif))


class DetachInterface(InterfaceFlow):
    """Take a device from the guest, and delete or free its port.

    detached     every step ran
    as before    the host refused: the action's message says why
    half         the guest has lost the device, but the network service refused for good: the port
                 is still bound, the action's message says why. It may be detached again
    """

    name = "detach_interface"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            OnHost(self.detach_interface, event="compute_detach_interface"),
            PointOfNoReturn("the guest has lost the device"),
            Call(self.unplug),
            Commit(self.forget),
        )

    def detach_interface(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host take the device away. Again: nothing to take away is fine."""
        vif = _of_port(self._ground.instance(conn, task), str(task.params["port_id"]))
        return None if vif is None else self._order(conn, task, "detach_interface", vif=vif)

    def unplug(self, task: Task) -> None:
        """Delete the port if kilonova made it, else unbind it. Again: what is gone is fine."""
        self._ground.ports.detach(task.instance_uuid, port_id=str(task.params["port_id"]))

    def forget(self, conn: Connection, task: Task) -> None:
        """Show the interface no more. Again: cannot be, its commit is also its record."""
        now = self._ground.instance(conn, task).vifs
        left = tuple(vif for vif in now if vif.port_id != task.params["port_id"])
        instances.change(conn, task.instance_uuid, vifs=left)


def _plugged(task: Task) -> VirtualInterface:
    return task.result("plug", VirtualInterface)


def _of_port(instance: Instance, port_id: str) -> VirtualInterface | None:
    return next((vif for vif in instance.vifs if vif.port_id == port_id), None)

# SPDX-License-Identifier: Apache-2.0
"""Attach a share to an instance, and detach it.

The share stands in the instance's row from the moment that attaching it is accepted. What fails
leaves it there in status error: detaching it takes away whatever there is by then. A task may wait
for others to end, so it looks at its turn where the instance is and whether its guest is off.

The host may mount a share as long as one of its instances has it: who lets go of it last takes the
host's access away, then looks whether somebody new has come meanwhile, and gives it back.
"""

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from common.errors import InstanceInvalidState, InvalidShare, ShareNotFound
from common.objects.instance import Instance
from common.objects.share_mapping import ShareMapping, ShareStatus
from common.objects.versioned import Versioned
from common.states import VmState
from services.conductor.db import compute_nodes, instances, shares
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import Call, Commit, HostStep, OnHost, PointOfNoReturn
from services.conductor.tasks.ground import Ground
from services.conductor.tasks.power import PowerFlow

LOG = logging.getLogger(__name__)

# Under this name tasks keep what an instance that ends lets go of.
_LEAVING, _WANTED = "leaving_shares", "shares_wanted_again"


class ShareParams(Versioned, frozen=True, kw_only=True):
    """The share that it is about, as it was when that was asked."""

    mapping: ShareMapping


class Reach(Versioned, frozen=True, kw_only=True):
    """The host that the instance is on (None: on none), and its address for storage."""

    host: str | None = None
    address: str = ""


class _Leaving(Versioned, frozen=True, kw_only=True):
    share_ids: tuple[str, ...]
    address: str


class ShareFlow(PowerFlow):
    """The instance's state stays what it is; the status of its share shows what is under way."""

    _off: tuple[str, ...] = (VmState.STOPPED,)

    def look_up(self, conn: Connection, task: Task) -> Reach:
        """See that the instance has the share and its guest is off, and where. Again: the same.

        Raises: ShareNotFound (it was detached since that was asked), InstanceInvalidState.
        """
        instance = self._ground.instance(conn, task)
        self._mapping(instance, task)
        if instance.vm_state not in self._off:
            raise InstanceInvalidState(
                operation=self.name, instance=instance.uuid, attribute="vm_state",
                state=instance.vm_state,
            )  # fmt: skip
        if instance.host is None:
            return Reach()
        return Reach(host=instance.host, address=_address(conn, instance.host))

    def _mapping(self, instance: Instance, task: Task) -> ShareMapping:
        asked = params_of(task).mapping
        for each in instance.shares:
            if each.uuid == asked.uuid:
                return each
        raise ShareNotFound(share=asked.share_id)

    def _set(self, conn: Connection, task: Task, **values: Any) -> None:
        instance = self._ground.instance(conn, task)
        kept = changed(instance, params_of(task).mapping.uuid, **values)
        if kept != instance.shares:
            instances.change(conn, task.instance_uuid, shares=kept)

    def _order_for(
        self, conn: Connection, task: Task, method: str, *, owable: bool = False
    ) -> HostStep | None:
        if _reach(task).host is None:
            return None
        share = self._mapping(self._ground.instance(conn, task), task)
        return self._order(conn, task, method, owable=owable, share=share)

    def undone(self, conn: Connection, task: Task) -> None:
        """It is in error: the action's message says why."""
        self._set(conn, task, status=ShareStatus.ERROR)


class AttachShare(ShareFlow):
    """Give an instance that is off a share.

    inactive     every step ran: the guest has it at its next start
    error        the share service or the host refused, or the guest is on by now: the action's
                 message says why. It may be detached
    """

    name = "attach_share"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            Call(self.allow),
            OnHost(self.attach_share, undo=self.detach_share, event="compute_attach_share"),
            Commit(self.record),
        )

    def allow(self, task: Task) -> None:
        """Have the share service let the host mount it. Again: the host may."""
        share_id, address = params_of(task).mapping.share_id, _reach(task).address
        if not address:
            raise InvalidShare(share=share_id, reason="its host has no address for storage.")
        self._ground.shares.allow(share_id, address)

    def attach_share(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host mount it for the guest. Again: one that is there is kept."""
        return self._order_for(conn, task, "attach_share")

    def detach_share(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host take it away. Again: nothing to take away is fine."""
        return self._order_for(conn, task, "detach_share", owable=True)

    def record(self, conn: Connection, task: Task) -> None:
        """Show that it is there. Again: cannot be, its commit is also its record."""
        self._set(conn, task, status=ShareStatus.INACTIVE, is_given=True)


class DetachShare(ShareFlow):
    """Take a share from an instance that is off.

    gone         every step ran
    as before    the guest is on by now
    error        the host or the share service refused: the action's message says why. It may be
                 detached again
    """

    name = "detach_share"
    _off = (VmState.STOPPED, VmState.ERROR)

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self.steps = (
            Commit(self.look_up),
            OnHost(self.detach_share, event="compute_detach_share"),
            PointOfNoReturn("the guest has lost the share"),
            Commit(self.let_go),
            Call(self.deny, when=lambda task: bool(task.results.get("let_go"))),
            Commit(self.forget),
            Call(self.allow_others, when=lambda task: bool(task.results.get("forget"))),
        )

    def detach_share(self, conn: Connection, task: Task) -> HostStep | None:
        """Have the host take it away. Again: nothing to take away is fine."""
        return self._order_for(conn, task, "detach_share")

    def let_go(self, conn: Connection, task: Task) -> bool:
        """Note that the guest has lost it; whether nobody else on the host has it.

        Again: cannot be, its commit is also its record.
        """
        self._set(conn, task, is_given=False, is_let_go=True)
        return _reach(task).host is not None and not self._others(conn, task)

    def deny(self, task: Task) -> None:
        """Have the share service let the host mount it no longer. Again: fine."""
        self._ground.shares.deny(params_of(task).mapping.share_id, _reach(task).address)

    def forget(self, conn: Connection, task: Task) -> bool:
        """Show the share no more; whether somebody wants it who came when the host lost it.

        Again: cannot be, its commit is also its record.
        """
        instance = self._ground.instance(conn, task)
        uuid = params_of(task).mapping.uuid
        kept = tuple(each for each in instance.shares if each.uuid != uuid)
        instances.change(conn, task.instance_uuid, shares=kept)
        return bool(task.results.get("let_go")) and self._others(conn, task)

    def allow_others(self, task: Task) -> None:
        """Have the share service let the host mount it again. Again: it does."""
        allow_again(self._ground, [params_of(task).mapping.share_id], _reach(task).address)

    def undone(self, conn: Connection, task: Task) -> None:
        """As before, where the host was not even asked; else in error."""
        before = params_of(task).mapping.status
        is_as_before = task.results.get("look_up") is None and before == ShareStatus.INACTIVE
        if is_as_before:
            self._set(conn, task, status=before)
        else:
            self._set(conn, task, status=ShareStatus.ERROR, is_given=False)

    def failed(self, conn: Connection, task: Task) -> None:
        """In error: the access of the host could not be taken away."""
        self._set(conn, task, status=ShareStatus.ERROR)

    def _others(self, conn: Connection, task: Task) -> bool:
        share_id, host = params_of(task).mapping.share_id, str(_reach(task).host)
        return bool(shares.of_others(conn, host, [share_id], but=task.instance_uuid))


# --- for flows that end an instance ---


def let_go_of_all(ground: Ground, conn: Connection, task: Task) -> None:
    """Note in the task what its host may mount no longer, now that the guest is gone."""
    instance = ground.instance(conn, task)
    if not instance.shares or instance.host is None:
        return
    kept = tuple(
        msgspec.structs.replace(each, is_given=False, is_let_go=True, status=ShareStatus.DETACHING)
        for each in instance.shares
    )
    instances.change(conn, task.instance_uuid, shares=kept)
    ids = {each.share_id for each in kept}
    others = shares.of_others(conn, instance.host, ids, but=task.instance_uuid)
    leaving = _Leaving(
        share_ids=tuple(sorted(ids - set(others))), address=_address(conn, instance.host)
    )
    task.results[_LEAVING] = msgspec.to_builtins(leaving)


def lets_go(task: Task) -> bool:
    """Whether there are shares that the host may mount no longer."""
    return bool(task.results.get(_LEAVING))


def deny_leaving(ground: Ground, task: Task) -> None:
    """Have the share service let the host mount them no longer. Again: fine.

    One that the service keeps is no reason to keep the instance: the operator finds it in the log.
    """
    leaving = task.result(_LEAVING, _Leaving)
    for share_id in leaving.share_ids:
        try:
            ground.shares.deny(share_id, leaving.address)
        except InvalidShare as kept:
            LOG.warning("%s may still mount share %s: %s", leaving.address, share_id, kept)


def note_wanted_again(ground: Ground, conn: Connection, task: Task) -> None:
    """Note in the task which of them somebody wants who came when the host lost them."""
    if not lets_go(task):
        return
    leaving, host = task.result(_LEAVING, _Leaving), ground.instance(conn, task).host
    others = shares.of_others(conn, str(host), leaving.share_ids, but=task.instance_uuid)
    if others:
        task.results[_WANTED] = others


def is_wanted_again(task: Task) -> bool:
    """Whether there are such."""
    return bool(task.results.get(_WANTED))


def allow_wanted(ground: Ground, task: Task) -> None:
    """Have the share service let the host mount them again. Again: it does."""
    allow_again(ground, task.results[_WANTED], task.result(_LEAVING, _Leaving).address)


def allow_again(ground: Ground, share_ids: Iterable[str], address: str) -> None:
    """Have the share service let a host mount shares again. Again: it does.

    One that it refuses is somebody else's trouble, who asks for it anew. Raises: Unavailable.
    """
    for share_id in share_ids:
        try:
            ground.shares.allow(share_id, address)
        except (InvalidShare, ShareNotFound) as refused:
            LOG.warning("%s may not mount share %s: %s", address, share_id, refused)


def changed(instance: Instance, mapping_uuid: str, **values: Any) -> tuple[ShareMapping, ...]:
    """The instance's shares with one of them changed."""
    return tuple(
        msgspec.structs.replace(each, **values) if each.uuid == mapping_uuid else each
        for each in instance.shares
    )


def params_of(task: Task) -> ShareParams:
    """What the task is about."""
    return msgspec.convert(task.params, ShareParams)


def _reach(task: Task) -> Reach:
    return task.result("look_up", Reach)


def _address(conn: Connection, host: str) -> str:
    """Where the host mounts from, as it reported: what it reaches volumes by."""
    return str(compute_nodes.connector_of(conn, host).get("ip") or "")

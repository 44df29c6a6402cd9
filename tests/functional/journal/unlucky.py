# SPDX-License-Identifier: Apache-2.0
"""A world in which anything goes wrong once: the conductor dies, a host refuses, is down, is late.

Everything runs in the calling thread, so a test says at which point, and sees how it ends.
"""

import msgspec
from sqlalchemy import text

from common.errors import (
    DomainNotFound,
    GuestHasArrived,
    HypervisorError,
    ImageNotFound,
    KilonovaError,
)
from common.objects.live_target import LiveTarget
from common.objects.operation import OperationReport
from services.conductor.db import journal
from services.conductor.db.journal import Lease, Overdue
from tests.functional.journal.world import ADMIN, MEMBER, World

# What a host can do to an operation. `half done` does it and says that it failed; `for good`
# refuses every operation from this one on. `deleted` and `reset`: somebody asks for that meanwhile.
FAILURES = ("refused", "half done", "timed out", "host down", "deleted", "reset", "for good")
_POWER = {
    "build": 1, "rebuild": 1, "rescue": 1, "unrescue": 1, "power_on": 1, "resume": 1, "unpause": 1,
    "revive": 1,
    "reboot": 1, "power_off": 4, "pause": 3, "suspend": 7,
}  # fmt: skip
_MOVES = (
    "set_aside", "take_back", "forget_aside", "receive", "offer_live", "withdraw_live",
    "prepare_live", "discard_live", "migrate_live", "welcome",
)  # fmt: skip
_STARTS = ("build", "rebuild", "take_back", "receive")
_MOST_ROUNDS = 200


class Died(BaseException):
    """The conductor died here."""


class Trap:
    """Notes the points that a conductor passes, and kills it at the one that is armed."""

    def __init__(self):
        self.seen, self.armed = [], None

    def reach(self, flow, steps, moment):
        for step in steps:
            name = f"{flow}:{step}:{moment}"
            self.seen.append(name)
            if name == self.armed:
                self.armed = None
                raise Died(name)


class Inline:
    """A runner without threads."""

    def __init__(self):
        self.todo = []
        self.put = self.todo.append

    def start(self, run):
        self._run = run

    def stop(self):
        """There is nothing to stop."""

    def do(self, work):
        work()

    def run_all(self):
        while self.todo:
            self._run(self.todo.pop(0))


class TwoHosts:
    """Guests and files of two hosts; an operation is done once an id.

    `guests` has the power of an instance's guests by host, `aside` what hosts keep of those that
    left, `offers` and `landings` what they keep for those that shall move alive, `volumes` and
    `shares` those of a guest by host and instance.
    """

    def __init__(self, images):
        self.images = images
        self.guests, self.files, self.reports = {}, set(), {}
        self.aside, self.offers, self.landings = set(), set(), set()
        self.volumes = {}
        self.shares = {}

    def perform(self, operation, *, failure=None):
        if operation.id not in self.reports:
            error, result = None, {}
            # A live migration that fails has left the guest where it is.
            if failure != "refused" and not (failure and operation.method == "migrate_live"):
                try:
                    result = self._do(operation)
                except KilonovaError as refused:
                    error = refused
            if failure is not None:
                error = HypervisorError(reason="the test wants it")
            self.reports[operation.id] = OperationReport(
                operation_id=operation.id, host=operation.host, result=result,
                error=error.to_wire() if error else None,
            )  # fmt: skip
        return self.reports[operation.id]

    def _do(self, operation):
        uuid, method, host = operation.instance_uuid, operation.method, operation.host
        arguments = msgspec.json.decode(operation.payload)
        image_id = arguments.get("image_id")
        guests = self.guests.setdefault(uuid, {})
        if method == "destroy":
            guests.pop(host, None)
            for kept in (self.aside, self.offers, self.landings):
                kept.discard((host, uuid))
        elif method in _MOVES:
            self._move(method, host, uuid, guests, arguments)
        elif method == "discard_snapshot":
            self.files.discard(image_id)
        elif method == "upload_snapshot":
            if image_id not in self.images.known:
                raise ImageNotFound(image=image_id)
            self.images.add(image_id, "active")
            self.files.discard(image_id)
        elif method not in ("build", "rebuild") and host not in guests:
            raise DomainNotFound(instance=uuid, host=operation.host)
        elif method == "snapshot":
            self.files.add(image_id)
        self._see_to_volumes(method, host, uuid, arguments)
        self._see_to_shares(method, host, uuid, arguments)
        if method in _POWER:
            guests[host] = 3 if arguments.get("paused") else _POWER[method]
        if method == "prepare_live":
            return msgspec.to_builtins(LiveTarget(folder=host))
        return {"power_state": guests[host]} if host in guests else {}

    def restart(self):
        """Daemons start anew: guests that have come alive are welcome, told or not."""
        self.landings = {
            (host, uuid) for host, uuid in self.landings if host not in self.guests.get(uuid, ())
        }

    def rename_volume(self, old_id, new_id):
        for has in self.volumes.values():
            if old_id in has:
                has.remove(old_id)
                has.add(new_id)

    def _see_to_volumes(self, method, host, uuid, arguments):
        has = self.volumes.setdefault((host, uuid), set())
        disk = arguments.get("disk")
        if method in _STARTS:
            has.clear()
            has |= {_reached(disk, host) for disk in arguments["instance"].get("block_devices", ())
                    if disk.get("volume_id")}  # fmt: skip
        elif method == "migrate_live":
            there = arguments["to_host"]
            has.clear()
            self.volumes[there, uuid] = {
                _reached(disk, there) for disk in arguments["disks_there"] if disk.get("volume_id")
            }
        elif method in ("destroy", "set_aside"):
            has.clear()
        elif method == "attach_volume":
            has.add(_reached(disk, host))
        elif method == "detach_volume":
            has.discard(disk["volume_id"])
        elif method == "swap_volume":
            has.discard(disk["volume_id"])
            has.add(_reached(arguments["by"], host))

    def _see_to_shares(self, method, host, uuid, arguments):
        has = self.shares.setdefault((host, uuid), set())
        if method in ("build", "rebuild", "power_on", "reboot"):
            has.clear()
            has |= {each["share_id"] for each in arguments["instance"].get("shares", ())
                    if each.get("is_given")}  # fmt: skip
        elif method == "destroy":
            has.clear()
        elif method == "attach_share":
            has.add(arguments["share"]["share_id"])
        elif method == "detach_share":
            has.discard(arguments["share"]["share_id"])

    def _move(self, method, host, uuid, guests, arguments):
        is_aside = (host, uuid) in self.aside
        is_needed_here = method in ("set_aside", "take_back") and not is_aside
        is_live = method in ("offer_live", "migrate_live", "welcome")
        if (is_needed_here or is_live) and host not in guests:
            raise DomainNotFound(instance=uuid, host=host)
        if method == "set_aside":
            guests.pop(host, None)
            self.aside.add((host, uuid))
        elif method == "forget_aside":
            self.aside.discard((host, uuid))
        elif method == "offer_live":
            self.offers.add((host, uuid))
        elif method == "withdraw_live":
            self.offers.discard((host, uuid))
        elif method == "prepare_live":
            assert (arguments["from_host"], uuid) in self.offers
            self.landings.add((host, uuid))
        elif method == "discard_live":
            if host in guests:
                raise GuestHasArrived(instance=uuid, host=host)
            self.landings.discard((host, uuid))
        elif method == "migrate_live":
            assert (arguments["to_host"], uuid) in self.landings
            assert arguments["target"]["folder"] == arguments["to_host"]
            self.offers.discard((host, uuid))
            guests[arguments["to_host"]] = guests.pop(host)
        elif method == "welcome":
            self.landings.discard((host, uuid))
        elif method in ("take_back", "receive"):
            assert method == "take_back" or (arguments["from_host"], uuid) in self.aside
            guests[host] = 1 if arguments["start"] else 4
            if method == "take_back":
                self.aside.discard((host, uuid))


def _reached(disk, host):
    """The volume behind a disk, which the host can reach."""
    assert disk["connection"]["data"]["host"] == host
    return disk["volume_id"]


class Unlucky(World):
    """`run` lets things happen until everything rests."""

    def __init__(self, database, *, limits=None):
        self.trap, self.inline = Trap(), Inline()
        super().__init__(database, runner=self.inline, crash=self.trap, limits=limits)
        self.host = TwoHosts(self.images)
        self.volumes.renamed = self.host.rename_volume
        self.asked = []

    def ask(self, request, *arguments):
        """What a user asks for; the conductor may die right after accepting it."""
        try:
            return request(MEMBER, *arguments)
        except Died:
            return None

    def run(self, uuid, *, failing=None, failure=None):
        """Until nothing is unfinished; the operation number `failing` meets with `failure`.

        How many operations there were.
        """
        self.asked = []
        for _ in range(_MOST_ROUNDS):
            try:
                self.inline.run_all()
                if self.hosts.sent:
                    self._answer(uuid, self.hosts.sent.pop(0), failing, failure)
                elif not self._go_on():
                    break
            except Died:
                self.inline.todo.clear()  # another conductor finds them
        else:
            raise AssertionError(f"it does not end: {self.asked}")
        self._come_back()
        return len(self.asked)

    def _answer(self, uuid, operation, failing, failure):
        number = len(self.asked)
        self.asked.append(operation.method)
        is_hit = number == failing or (failure == "for good" and failing is not None
                                       and number > failing)  # fmt: skip
        if failure == "host down" and failing is not None and number >= failing:
            self._set_last_seen("now() - interval '1 hour'")
            self.engine.give_up_waiting(Overdue(operation.id, False, True, 0))
        elif not is_hit:
            self.engine.reported(self.host.perform(operation))
        elif failure == "lost":  # done, and not heard of
            self.host.perform(operation)
            self.engine.give_up_waiting(Overdue(operation.id, False, False, 61))
        elif failure == "lost, and down":  # nor is anybody there to be asked
            self.host.perform(operation)
            self._set_last_seen("now() - interval '1 hour'")
            self.engine.give_up_waiting(Overdue(operation.id, False, True, 0))
        elif failure == "timed out":
            self.engine.give_up_waiting(Overdue(operation.id, False, False, 61))
        elif failure == "deleted":
            self.delete(MEMBER, uuid)
        elif failure == "reset":
            self.state.reset_state(ADMIN, uuid, "error")
            self.engine.reported(self.host.perform(operation))
        else:
            how = "half done" if failure == "half done" else "refused"
            self.engine.reported(self.host.perform(operation, failure=how))

    def _go_on(self):
        """What the sweep of a conductor does; whether there was anything to do."""
        with self.database.begin() as conn:
            conn.execute(text(
                "UPDATE tasks SET next_run_at = NULL, lease_until = NULL WHERE finished_at IS NULL"
            ))  # fmt: skip
            taken = journal.take(conn, Lease("other#1", 30, 10), running=[], most=10)
            waiting = journal.pending_of(conn, ["host1", "host2"])
            owed = set(conn.execute(text("SELECT id FROM owed_operations")).scalars())
            forgotten = journal.with_forgotten_tasks(conn, most=10)
        self.inline.todo += taken
        for instance in forgotten:
            self.engine.promote(instance)
        again = [operation for operation in waiting if operation.id not in owed]
        self.hosts.sent += again
        return bool(taken or forgotten or again)

    def _come_back(self):
        """The hosts are there, and do what they owe."""
        self._set_last_seen("now()")
        self.host.restart()
        with self.database.begin() as conn:
            owed = journal.pending_of(conn, ["host1", "host2"])
        for operation in owed:
            self.engine.reported(self.host.perform(operation))

    def lose(self, host):
        """Nothing is heard of the host any more."""
        self._set_last_seen("now() - interval '1 hour'", host)

    def _set_last_seen(self, moment, host="%"):
        with self.database.begin() as conn:
            conn.execute(
                text(f"UPDATE services SET last_seen_at = {moment} WHERE host LIKE :host"),
                {"host": host},
            )

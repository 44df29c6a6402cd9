# SPDX-License-Identifier: Apache-2.0
"""Whatever fails at any step, or dies, a flow ends in a named state and leaves nothing behind."""

import functools

import pytest
from sqlalchemy import text

from common.errors import MayRunElsewhere
from common.objects.block_device import BlockDeviceMapping
from common.objects.external_event import ExternalEvent
from common.objects.image import ImageMeta
from common.objects.network import RequestedNetwork
from common.objects.rebuild import NewContent
from common.objects.share import Share
from common.objects.share_mapping import ShareStatus
from common.objects.volume import RequestedVolume
from services.conductor.daemon import FLOWS
from services.conductor.db.power import take_over
from tests.functional.journal.unlucky import FAILURES, Unlucky
from tests.functional.journal.world import BIGGER, MEMBER, request

pytestmark = pytest.mark.functional

SHOT = "shot"
DATA, ROOT, MORE = "data", "root", "more"
SHARE = "share"
PORT = "slow-port"
# What a migration is while something is done to it.
MOVING = {
    "accepted", "queued", "preparing", "running", "pre-migrating", "migrating", "post-migrating",
    "confirming", "reverting",
}  # fmt: skip
_MORE_ENDS = {"deleted": {"deleted"}, "reset": {"error"}}


class Case:
    """How an instance comes to where the flow begins, what is asked, and where it may end."""

    def __init__(self, flow, ask, *ends, before=()):
        self.flow, self.ask, self.ends, self.before = flow, ask, set(ends), before


def power(verb, **arguments):
    return lambda w, uuid: w.ask(functools.partial(getattr(w.power, verb), **arguments), uuid)


def shelve(offload_after_s):
    def ask(w, uuid):
        w.ask(w.shelving[offload_after_s].shelve, uuid, w.images.add(SHOT))

    return ask


def rescue(w, uuid):
    w.ask(functools.partial(w.repair.rescue, volume_backed=False), uuid, "s3cret", None)


def rebuild(w, uuid):
    w.ask(w.repair.rebuild, uuid, NewContent(image=ImageMeta(id="other")))


def create_image(w, uuid):
    w.ask(w.snapshots.create_image, uuid, w.images.add(SHOT))


def delete(w, uuid):
    w.ask(w.delete, uuid)


def boot(w, uuid):
    w.scheduler.turn = 0
    w.volumes.add(DATA)
    w.volumes.busy[DATA] = ["creating"]
    w.ask(w.create, request(uuids=(uuid,), admin_password="s3cret", block_devices=(
        BlockDeviceMapping(uuid="", source="image", image_id="i"),
        BlockDeviceMapping(uuid="", source="blank", destination="volume", size_gib=1,
                           boot_index=None),
    ), made_volumes=((DATA,),)))  # fmt: skip


def boot_from_volume(w, uuid):
    w.scheduler.turn = 0
    w.volumes.add(ROOT)
    root = BlockDeviceMapping(
        uuid="", source="volume", destination="volume", volume_id=ROOT, delete_on_termination=False
    )
    w.ask(w.create, request(uuids=(uuid,), admin_password="s3cret", block_devices=(root,)))


def boot_with_slow_port(w, uuid):
    w.scheduler.turn = 0
    w.ports.slow[PORT] = 2
    w.ask(w.create, request(uuids=(uuid,), networks=(RequestedNetwork(port_id=PORT),)))


def attach_volume(w, uuid):
    w.volumes.add(MORE)
    w.ask(functools.partial(w.disks.attach, shelved_too=True), uuid,
          RequestedVolume(volume_id=MORE))  # fmt: skip


def detach_volume(w, uuid):
    w.ask(functools.partial(w.disks.detach, shelved_too=True), uuid, MORE)


def swap_volume(w, uuid):
    w.volumes.add(DATA, is_migrating=True)
    w.volumes.add(MORE)
    w.ask(w.disks.swap, uuid, DATA, RequestedVolume(volume_id=MORE))


def extend_volume(w, uuid):
    event = ExternalEvent(name="volume-extended", server_uuid=uuid, tag=DATA)
    w.ask(lambda _: w.disks.volume_extended(event))


def snapshot_volume(w, uuid):
    w.ask(functools.partial(w.disks.snapshot, snapshot_id="s", new_file="f"), DATA)


def merge_volume_snapshot(w, uuid):
    w.ask(functools.partial(w.disks.merge_snapshot, snapshot_id="s", delete_info={}), DATA)


def attach_share(w, uuid):
    share = Share(id=SHARE, status="available", protocol="NFS", export_location="nas:/s")
    w.ask(w.mounts.attach, uuid, share, None)


def detach_share(w, uuid):
    w.ask(w.mounts.detach, uuid, SHARE)


def reimage(w, uuid):
    content = NewContent(image=ImageMeta(id="other"), allows_other_image=True)
    w.ask(w.repair.rebuild, uuid, content)


def soft_delete(w, uuid):
    w.ask(w.soft.delete, uuid)


def attach_interface(w, uuid):
    w.ask(w.interfaces.attach, uuid, RequestedNetwork(network_id="net"))


def detach_interface(w, uuid):
    w.ask(w.interfaces.detach, uuid, w.get(uuid).vifs[0].port_id)


def resize(w, uuid):
    w.scheduler.turn = 1
    w.ask(functools.partial(w.moves.resize, flavorid=BIGGER.flavorid, disk_config=None), uuid)


def migrate(w, uuid):
    w.scheduler.turn = 1
    w.ask(functools.partial(w.moves.migrate, host=None), uuid)


def live_migrate(w, uuid):
    w.scheduler.turn = 1
    w.ask(functools.partial(w.moves.live_migrate, host=None, block_migration=None), uuid)


def revive(w, uuid):
    """The host has booted."""
    w.ask(w.revival.host_booted, "host1")


def evacuate(w, uuid):
    w.scheduler.turn = 1
    w.lose("host1")
    w.ask(
        functools.partial(w.moves.evacuate, host=None, admin_password="s3cret", stopped=False), uuid
    )


CASES = [
    Case("boot", boot, "active", "error"),
    Case("delete", delete, "deleted", "error", before=(boot,)),
    Case("soft_delete", soft_delete, "soft-delete", "active", before=(boot,)),
    Case("restore", lambda w, uuid: w.ask(w.soft.restore, uuid), "active", "soft-delete",
         before=(boot, soft_delete)),
    Case("stop", power("stop"), "stopped", "active", before=(boot,)),
    Case("start", power("start"), "active", "stopped", before=(boot, power("stop"))),
    Case("reboot", power("reboot", hard=True), "active", before=(boot,)),
    Case("pause", power("pause"), "paused", "active", before=(boot,)),
    Case("unpause", power("unpause"), "active", "paused", before=(boot, power("pause"))),
    Case("suspend", power("suspend"), "suspended", "active", before=(boot,)),
    Case("resume", power("resume"), "active", "suspended", before=(boot, power("suspend"))),
    Case("revive", revive, "active", "error", before=(boot,)),
    Case("trigger_crash_dump", power("trigger_crash_dump"), "active", before=(boot,)),
    Case("change_password", lambda w, uuid: w.ask(w.guest.change_password, uuid, "s3cret"),
         "active", before=(boot,)),
    Case("attach_interface", attach_interface, "active", before=(boot,)),
    Case("detach_interface", detach_interface, "active", before=(boot, attach_interface)),
    Case("attach_volume", attach_volume, "active", before=(boot,)),
    Case("attach_volume", attach_volume, "shelved_offloaded", before=(boot, shelve(0))),
    Case("detach_volume", detach_volume, "active", before=(boot, attach_volume)),
    Case("swap_volume", swap_volume, "active", before=(boot,)),
    Case("extend_volume", extend_volume, "active", before=(boot,)),
    Case("snapshot_volume", snapshot_volume, "active", before=(boot,)),
    Case("merge_volume_snapshot", merge_volume_snapshot, "active", before=(boot,)),
    Case("attach_share", attach_share, "stopped", before=(boot, power("stop"))),
    Case("detach_share", detach_share, "stopped", before=(boot, power("stop"), attach_share)),
    Case("delete", delete, "deleted", "error", before=(boot, power("stop"), attach_share)),
    Case("rebuild", rebuild, "stopped", "error", before=(boot, power("stop"), attach_share)),
    Case("boot", boot_from_volume, "active", "error"),
    Case("rebuild", reimage, "active", "error", before=(boot_from_volume,)),
    Case("rescue", rescue, "rescued", "active", "error", before=(boot,)),
    Case("unrescue", lambda w, uuid: w.ask(w.repair.unrescue, uuid), "active", "rescued",
         before=(boot, rescue)),
    Case("rebuild", rebuild, "active", "error", before=(boot,)),
    Case("rebuild", rebuild, "stopped", "error", before=(boot, power("stop"))),
    Case("snapshot", create_image, "active", before=(boot,)),
    Case("shelve", shelve(-1), "shelved", "active", "error", before=(boot,)),
    Case("shelve", shelve(0), "shelved_offloaded", "shelved", "active", "error", before=(boot,)),
    Case("shelve_offload", lambda w, uuid: w.ask(w.shelving[-1].shelve_offload, uuid),
         "shelved_offloaded", "shelved", before=(boot, shelve(-1))),
    Case("unshelve", lambda w, uuid: w.ask(w.shelving[0].unshelve, uuid, None),
         "active", "shelved_offloaded", before=(boot, shelve(0))),
    Case("unshelve_in_place", lambda w, uuid: w.ask(w.shelving[-1].unshelve, uuid, None),
         "active", "shelved", before=(boot, shelve(-1))),
    Case("resize", resize, "resized", "active", "error", before=(boot,)),
    Case("resize", resize, "resized", "stopped", "error", before=(boot, power("stop"))),
    Case("confirm_resize", lambda w, uuid: w.ask(w.moves.confirm, uuid), "active", "error",
         before=(boot, resize)),
    Case("revert_resize", lambda w, uuid: w.ask(w.moves.revert, uuid), "active", "error",
         before=(boot, resize)),
    Case("migrate", migrate, "resized", "active", "error", before=(boot,)),
    Case("live_migrate", live_migrate, "active", "error", before=(boot,)),
    Case("evacuate", evacuate, "active", "error", before=(boot,)),
    Case("boot", boot_with_slow_port, "active", "error"),  # the guest is held for it
    Case("unshelve", lambda w, uuid: w.ask(w.shelving[0].unshelve, uuid, None),
         "active", "shelved_offloaded", "error", before=(boot_with_slow_port, shelve(0))),
    Case("evacuate", evacuate, "active", "error", before=(boot_with_slow_port,)),
]  # fmt: skip


def _id(case):
    return "-".join([case.flow, *sorted(case.ends), *(step.__name__ for step in case.before)])


@pytest.fixture
def world(database):
    return Unlucky(database)


def begin(world, case):
    """An instance at which the case's flow has just been accepted."""
    uuid = world.new_uuid()
    for step in case.before:
        step(world, uuid)
        world.run(uuid)
    world.trap.seen.clear()
    case.ask(world, uuid)
    return uuid


def assert_rests(world, uuid, ends, *, removes_files=True):
    """It is in one of these states, and what it holds is what that state holds."""
    found = world.get(uuid)
    assert found.task_state is None
    assert ("deleted" if found.deleted else found.vm_state) in ends
    has_place = found.host is not None and not found.deleted
    # Until it is confirmed a resized instance has a place twice; one whose move could neither be
    # done nor undone keeps both until it is deleted.
    moved = world.scalars("SELECT status FROM migrations ORDER BY id DESC LIMIT 1")
    has_two = found.vm_state == "resized" or (found.vm_state == "error" and moved == ["error"])
    [places] = world.scalars("SELECT count(*) FROM allocations")
    assert places == int(has_place) or (has_two and places == 2)
    assert world.scalars("SELECT sum(instances) FROM compute_nodes") == [places]
    assert not world.host.aside | world.host.offers or has_two
    assert not world.host.landings or has_two or not removes_files
    assert not set(world.scalars("SELECT status FROM migrations")) & MOVING
    assert world.scalars("SELECT count(*) FROM tasks WHERE secret IS NOT NULL") == [0]
    assert world.scalars("SELECT count(*) FROM owed_operations") == [0]
    guests = set(world.host.guests.get(uuid, ()))
    assert has_place or not guests
    if has_place and found.vm_state != "error":
        assert guests == {found.host}
    if not found.deleted:
        assert set(world.ports.plugged) == {vif.port_id for vif in found.vifs}
    assert_volumes(world, uuid, found)
    assert_shares(world, uuid, found)
    assert not removes_files or not world.host.files
    assert all(image.status == "active" for image in world.images.known.values())
    if found.vm_state.startswith("shelved"):
        assert SHOT in world.images.known


def assert_volumes(world, uuid, found):
    """What the volume service, the row and the host say of its volumes is the same."""
    held = world.volumes.held_by(uuid)
    if found.deleted:
        assert not held
        assert not world.volumes.known.keys() - {ROOT, MORE}
        assert not any(has for (_, of), has in world.host.volumes.items() if of == uuid)
        return
    assert not world.volumes.detaching
    if found.vm_state == "error" and not held:
        return  # its boot has failed
    rows = {d.attachment_id: d.volume_id for d in found.block_devices if d.volume_id}
    assert rows == {key: volume_id for key, (volume_id, _) in held.items()}
    if found.vm_state in ("active", "stopped") and found.host:
        assert world.host.volumes[found.host, uuid] == set(rows.values())
    if found.vm_state != "error":
        assert {host for _, host in held.values()} <= {found.host}
        using = [host for (host, of), has in world.host.volumes.items() if of == uuid and has]
        assert set(using) <= {found.host}


def assert_shares(world, uuid, found):
    """What the share service, the row and the host say of its shares is the same, or in error."""
    mounted = {(host, each) for (host, of), has in world.host.shares.items() if of == uuid
               for each in has}  # fmt: skip
    if found.deleted or not found.shares:
        assert not world.shares.allowed
        assert not mounted
        return
    [share] = found.shares
    assert share.status in (ShareStatus.INACTIVE, ShareStatus.ERROR)
    if share.status == ShareStatus.INACTIVE:
        assert world.shares.allowed == {(SHARE, found.host)}
        assert found.vm_state == "error" or mounted == {(found.host, SHARE)}


def tidy(world, uuid):
    """The instance is deleted, which works from every state, and nothing is left of it."""
    delete(world, uuid) if not world.get(uuid).deleted else None
    world.run(uuid)
    world.host.files.clear()
    if world.get(uuid).vm_state == "deleted" and SHOT in world.images.known:
        world.images.delete(SHOT)
    assert_rests(world, uuid, {"deleted"})


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_a_flow_survives_its_conductor_dying_at_every_point(world, case):
    uuid = begin(world, case)
    world.run(uuid)
    [first, *_] = case.ends & {world.get(uuid).vm_state}
    points = [name for name in dict.fromkeys(world.trap.seen) if name.startswith(case.flow + ":")]
    assert points
    tidy(world, uuid)

    for point in points:
        world.trap.armed = None
        for _ in range(2):  # who died after a commit does not come to its cast
            world.trap.armed = point
            uuid = begin(world, case)
            world.run(uuid)
            assert_rests(world, uuid, {first})
            was_hit, world.trap.armed = world.trap.armed is None, None
            tidy(world, uuid)
            if was_hit:
                break
        else:
            raise AssertionError(f"{point} was not hit")


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("case", CASES, ids=_id)
def test_a_flow_survives_every_failure_of_every_host_step(world, case, failure):
    uuid = begin(world, case)
    steps = world.run(uuid)
    tidy(world, uuid)

    for number in range(steps):
        uuid = begin(world, case)
        world.run(uuid, failing=number, failure=failure)
        ends = case.ends | _MORE_ENDS.get(failure, set())
        assert_rests(world, uuid, ends, removes_files=failure != "for good")
        tidy(world, uuid)


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_what_is_undone_is_undone_though_the_conductor_dies_at_every_point(world, case):
    uuid = begin(world, case)
    steps = world.run(uuid)
    tidy(world, uuid)
    for number in range(steps):
        uuid = begin(world, case)
        world.run(uuid, failing=number, failure="timed out")
        points = [p for p in dict.fromkeys(world.trap.seen) if p.startswith(f"{case.flow}.undo:")]
        tidy(world, uuid)
        for point in points:
            world.trap.armed = point
            uuid = begin(world, case)
            world.run(uuid, failing=number, failure="timed out")
            world.trap.armed = None
            assert_rests(world, uuid, case.ends)
            tidy(world, uuid)


def test_a_guest_that_has_moved_alive_unheard_of_is_where_it_is(world):
    [case] = [case for case in CASES if case.flow == "live_migrate"]
    uuid = begin(world, case)

    world.run(uuid, failing=2, failure="lost")

    assert world.asked[2] == "migrate_live"
    assert world.asked[-1] == "destroy"
    assert set(world.host.guests[uuid]) == {"host2"}
    assert world.get(uuid).host == "host2"
    assert_rests(world, uuid, {"active"})
    tidy(world, uuid)


@pytest.fixture
def stray(world):
    """An instance that is said to be stopped on host1 while its guest runs on host2, alive."""
    uuid = world.new_uuid()
    for step in (boot, live_migrate):
        step(world, uuid)
        world.run(uuid, failing=2 if step is live_migrate else None, failure="refused")
    world.host.guests[uuid] = {"host2": 1}
    world.host.volumes["host2", uuid] = world.host.volumes.pop(("host1", uuid))
    with world.database.begin() as conn:
        take_over(conn, "host1", {uuid: 4})
    assert (world.get(uuid).vm_state, world.get(uuid).host) == ("stopped", "host1")
    return uuid


def test_an_instance_follows_its_guest_that_has_long_moved(world, stray):
    for _ in range(2):
        world.ask(world.arrivals.strays, "host2", {stray: 1, world.new_uuid(): 1})
        world.run(stray)

    assert world.get(stray).host == "host2"
    assert_rests(world, stray, {"active"})
    assert world.scalars("SELECT status FROM migrations") == ["completed"]
    tidy(world, stray)


def test_an_instance_whose_state_was_reset_follows_the_guest_that_moves_all_the_same(world):
    uuid = world.new_uuid()
    boot(world, uuid)
    world.run(uuid)
    live_migrate(world, uuid)
    world.run(uuid, failing=2, failure="reset")
    assert (world.asked[2], set(world.host.guests[uuid])) == ("migrate_live", {"host2"})
    assert (world.get(uuid).vm_state, world.get(uuid).host) == ("error", "host1")
    with world.database.begin() as conn:
        take_over(conn, "host1", {uuid: 4})  # what a look at its guests tells that host

    world.ask(world.arrivals.strays, "host2", {uuid: 1})
    world.run(uuid)

    assert world.get(uuid).host == "host2"
    assert_rests(world, uuid, {"active"})
    assert world.scalars("SELECT status FROM migrations") == ["completed"]
    tidy(world, uuid)


def test_it_does_not_while_it_may_run_where_it_was(world, stray):
    with world.database.begin() as conn:
        take_over(conn, "host1", {stray: 1})

    world.ask(world.arrivals.strays, "host2", {stray: 1})

    assert (world.run(stray), world.get(stray).host) == (0, "host1")


def test_it_is_not_started_where_it_was_while_the_new_host_cannot_be_asked(world):
    uuid = world.new_uuid()
    boot(world, uuid)
    world.run(uuid)
    live_migrate(world, uuid)
    world.run(uuid, failing=2, failure="lost, and down")
    with world.database.begin() as conn:
        take_over(conn, "host1", {uuid: 4})
    assert (world.get(uuid).vm_state, world.get(uuid).host) == ("stopped", "host1")

    with pytest.raises(MayRunElsewhere, match="may run on host2"):
        world.power.start(MEMBER, uuid)

    world.ask(world.arrivals.strays, "host2", {uuid: 1})
    world.run(uuid)
    assert world.get(uuid).host == "host2"
    assert_rests(world, uuid, {"active"})
    tidy(world, uuid)


def test_it_is_started_where_it_was_once_the_operator_vouches_for_the_new_host(world):
    uuid = world.new_uuid()
    boot(world, uuid)
    world.run(uuid)
    live_migrate(world, uuid)
    world.run(uuid, failing=2, failure="lost, and down")
    with world.database.begin() as conn:
        take_over(conn, "host1", {uuid: 4})
        conn.execute(text("UPDATE services SET forced_down = true WHERE host = 'host2'"))

    world.power.start(MEMBER, uuid)

    assert world.get(uuid).task_state == "powering-on"


@pytest.mark.parametrize("host", ["host1", "host2"])
def test_a_guest_that_came_by_no_migration_is_left_alone(world, host):
    uuid = world.new_uuid()
    boot(world, uuid)
    world.run(uuid)
    with world.database.begin() as conn:
        take_over(conn, "host1", {uuid: 4})

    world.ask(world.arrivals.strays, host, {uuid: 1})

    assert (world.run(uuid), world.get(uuid).host) == (0, "host1")


def test_no_flow_is_forgotten_here():
    elsewhere = {"adopt"}
    assert {case.flow for case in CASES} | elsewhere == {flow.name for flow in FLOWS}

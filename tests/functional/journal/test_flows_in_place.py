# SPDX-License-Identifier: Apache-2.0
"""Flows that change an instance where it is: how each ends, whatever becomes of its host step."""

import pytest
from sqlalchemy import text

from common.errors import Conflict, HypervisorError, InstanceInvalidState, Invalid
from common.objects.action import InstanceAction
from common.objects.image import ImageMeta
from common.objects.rebuild import NewContent
from common.objects.unshelving import Unshelving
from services.conductor.db import actions, instances
from tests.functional.journal.world import ADMIN, MEMBER, RECLAIM_AFTER_S
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

REFUSED = HypervisorError(reason="not today")


def states(world, uuid):
    found = world.get(uuid)
    return found.vm_state, found.task_state


def last_action(world, uuid) -> InstanceAction:
    with world.database.begin() as conn:
        return actions.list_actions(conn, uuid)[0]


@pytest.mark.parametrize(
    ("before", "verb", "during", "after", "power_state"),
    [
        (None, "pause", "pausing", "paused", 3),
        ("pause", "unpause", "unpausing", "active", 1),
        (None, "suspend", "suspending", "suspended", 7),
        ("suspend", "resume", "resuming", "active", 1),
    ],
)
def test_a_power_action_ends_as_asked_or_as_before_with_its_reason(
    world, before, verb, during, after, power_state
):
    uuid = world.boot()
    if before:
        getattr(world.power, before)(MEMBER, uuid)
        world.report(before)
    at_first = states(world, uuid)

    getattr(world.power, verb)(MEMBER, uuid)
    assert states(world, uuid) == (at_first[0], during)
    world.report(verb, error=REFUSED)
    assert states(world, uuid) == at_first
    assert "not today" in last_action(world, uuid).message

    getattr(world.power, verb)(MEMBER, uuid)
    world.report(verb, power_state=power_state)
    assert states(world, uuid) == (after, None)
    assert world.get(uuid).power_state == power_state
    assert last_action(world, uuid).message is None


def test_a_soft_deleted_server_is_restored(world):
    uuid = world.boot()
    world.soft.delete(MEMBER, uuid)
    assert states(world, uuid) == ("active", "soft-deleting")
    world.soft.delete(MEMBER, uuid)
    world.report("power_off", power_state=4)
    assert states(world, uuid) == ("soft-delete", None)
    assert last_action(world, uuid).action == "delete"

    world.soft.restore(MEMBER, uuid)
    world.report("power_on")

    assert states(world, uuid) == ("active", None)
    assert world.get(uuid).system_metadata == {"networks": "none"}
    with pytest.raises(InstanceInvalidState):
        world.soft.restore(MEMBER, uuid)


def test_a_soft_deleted_server_is_reclaimed_when_its_time_is_up(world):
    uuid = world.boot()
    world.soft.delete(MEMBER, uuid)
    world.report("power_off", power_state=4)
    world.soft.reclaim()
    assert not world.hosts.sent

    with world.database.begin() as conn:
        conn.execute(text(
            "UPDATE instances SET system_metadata = system_metadata || jsonb_build_object("
            f"'soft_deleted_at', (now() - interval '{RECLAIM_AFTER_S + 1} s')::text)"
        ))  # fmt: skip
    world.soft.reclaim()
    world.report("destroy")

    assert world.get(uuid).deleted
    assert world.scalars("SELECT count(*) FROM allocations") == [0]


def test_a_soft_delete_that_interrupts_and_fails_says_so(world):
    uuid = world.boot()
    world.power.suspend(MEMBER, uuid)
    wait_until(lambda: bool(world.hosts.sent), "suspend was sent")
    world.hosts.sent.clear()

    world.soft.delete(MEMBER, uuid)
    world.report("power_off", error=REFUSED)

    assert states(world, uuid) == ("error", None)
    assert "not today" in world.get(uuid).fault.message


def test_forced_deletion_takes_the_place_of_a_soft_one(world):
    uuid = world.boot()
    world.soft.delete(MEMBER, uuid)
    wait_until(lambda: bool(world.hosts.sent), "power_off was sent")
    world.hosts.sent.clear()

    world.soft.delete(MEMBER, uuid, force=True)
    world.report("destroy")

    assert world.get(uuid).deleted


def test_a_reset_state_ends_what_is_under_way_and_stays(world):
    uuid = world.boot()
    world.power.stop(MEMBER, uuid)
    wait_until(lambda: bool(world.hosts.sent), "power_off was sent")

    world.state.reset_state(ADMIN, uuid, "error")

    assert states(world, uuid) == ("error", None)
    wait_until(lambda: bool(world.hosts.cancelled), "the host was told")
    assert world.scalars("SELECT count(*) FROM tasks WHERE state = 'waiting'") == [0]
    assert states(world, uuid) == ("error", None)


def test_the_owner_does_not_replace_a_lock_of_somebody_else(world):
    uuid = world.boot()
    world.state.lock(ADMIN, uuid, "maintenance")
    world.state.lock(MEMBER, uuid, "mine")

    found = world.get(uuid)

    assert (found.locked_by, found.locked_reason) == ("admin", "maintenance")
    world.state.unlock(MEMBER, uuid)
    assert world.get(uuid).locked_by is None


def test_a_rescued_server_comes_back(world):
    uuid = world.boot()
    world.repair.rescue(MEMBER, uuid, "s3cret", ImageMeta(id="r"), volume_backed=True)
    assert states(world, uuid) == ("active", "rescuing")
    order = world.report("rescue")
    assert '"r"' in order.payload
    assert states(world, uuid) == ("rescued", None)

    world.repair.unrescue(MEMBER, uuid)
    world.report("unrescue")

    assert states(world, uuid) == ("active", None)


def test_a_rescue_that_fails_brings_the_guest_back(world):
    uuid = world.boot()
    world.repair.rescue(MEMBER, uuid, "s3cret", None, volume_backed=True)

    world.report("rescue", error=REFUSED)
    world.report("unrescue")

    assert states(world, uuid) == ("active", None)
    assert "not today" in last_action(world, uuid).message


@pytest.mark.parametrize(("first", "after"), [(None, "active"), ("stop", "stopped")])
def test_a_rebuilt_server_is_what_it_was_on_another_image(world, first, after):
    uuid = world.boot()
    if first:
        world.power.stop(MEMBER, uuid)
        world.report("power_off", power_state=4)
    content = NewContent(
        image=ImageMeta(id="other"), changes={"name": "new", "metadata": {"k": "v"}}
    )

    world.repair.rebuild(MEMBER, uuid, content)
    assert states(world, uuid)[1] == "rebuilding"
    world.report("rebuild")
    if first:
        world.report("power_off", power_state=4)

    found = world.get(uuid)
    assert (found.vm_state, found.task_state, found.image.id) == (after, None, "other")
    assert (found.name, found.metadata, found.hostname) == ("new", {"k": "v"}, "web")
    assert world.scalars("SELECT count(*) FROM allocations") == [1]


def test_a_rebuild_that_fails_ends_in_an_error_that_can_be_rebuilt(world):
    uuid = world.boot()
    world.repair.rebuild(MEMBER, uuid, NewContent(image=ImageMeta(id="other")))

    world.report("rebuild", error=REFUSED)

    assert states(world, uuid) == ("error", None)
    assert "not today" in world.get(uuid).fault.message
    world.repair.rebuild(MEMBER, uuid, NewContent(image=ImageMeta(id="good")))
    world.report("rebuild")
    assert states(world, uuid) == ("active", None)


def test_a_snapshot_fills_its_image_and_leaves_the_server_as_it_was(world):
    uuid = world.boot()
    image = world.images.add("new")
    world.snapshots.create_image(MEMBER, uuid, image)
    assert states(world, uuid) == ("active", "image_snapshot")
    world.report("snapshot")
    wait_until(lambda: states(world, uuid)[1] == "image_uploading", "it is uploaded")
    world.report("upload_snapshot")

    assert states(world, uuid) == ("active", None)
    assert "new" in world.images.known


@pytest.mark.parametrize("broken", ["snapshot", "upload_snapshot"])
def test_a_snapshot_that_fails_leaves_no_image(world, broken):
    uuid = world.boot()
    world.snapshots.create_image(MEMBER, uuid, world.images.add("new"))
    if broken == "upload_snapshot":
        world.report("snapshot")
    world.report(broken, error=REFUSED)
    world.report("discard_snapshot")

    wait_until(lambda: states(world, uuid) == ("active", None), "the server rests")
    assert world.images.known == {}
    assert "not today" in last_action(world, uuid).message


def test_a_snapshot_whose_image_was_deleted_says_so(world):
    uuid = world.boot()

    world.snapshots.create_image(MEMBER, uuid, "gone")

    wait_until(lambda: states(world, uuid) == ("active", None), "the server rests")
    assert last_action(world, uuid).message == "Image gone could not be found."


def test_a_backup_drops_the_oldest_of_its_type_and_nothing_else(world):
    uuid = world.boot()
    marks = {"instance_uuid": uuid, "image_type": "backup"}
    world.images.add("weekly", "active", backup_type="weekly", **marks)
    for name in ("old", "older-than-new"):
        world.images.add(name, "active", backup_type="daily", **marks)
    world.images.add("new", backup_type="daily", **marks)

    world.snapshots.create_backup(MEMBER, uuid, "new", "daily", 2)
    world.report("snapshot")
    wait_until(lambda: bool(world.hosts.sent), "the upload is asked for")
    world.images.add("new", "active", backup_type="daily", **marks)
    world.report("upload_snapshot")

    wait_until(lambda: "old" not in world.images.known, "the oldest one is gone")
    assert set(world.images.known) == {"weekly", "older-than-new", "new"}


def shelved(world, *, offload_after_s=-1):
    """A server that was shelved from ACTIVE."""
    uuid = world.boot()
    world.shelving[offload_after_s].shelve(MEMBER, uuid, world.images.add("shot"))
    world.report("power_off", power_state=4)
    world.report("snapshot", power_state=4)
    assert states(world, uuid) == ("active", "shelving_image_uploading")
    world.report("upload_snapshot")
    world.images.add("shot", "active")
    return uuid


def test_a_shelved_server_stays_on_its_host_until_it_is_offloaded(world):
    uuid = shelved(world)
    assert states(world, uuid) == ("shelved", None)
    assert world.get(uuid).host == "host1"

    world.shelving[-1].shelve_offload(MEMBER, uuid)
    assert states(world, uuid) == ("shelved", "shelving_offloading")
    world.report("destroy")

    assert states(world, uuid) == ("shelved_offloaded", None)
    assert (world.get(uuid).host, world.get(uuid).availability_zone) == (None, None)
    assert world.scalars("SELECT count(*) FROM allocations") == [0]


def test_a_server_is_offloaded_at_once_where_that_is_wanted_and_comes_back(world):
    uuid = shelved(world, offload_after_s=0)
    assert states(world, uuid) == ("shelved", "shelving_offloading")
    world.report("destroy")
    assert states(world, uuid) == ("shelved_offloaded", None)

    world.shelving[0].unshelve(MEMBER, uuid, None)
    assert states(world, uuid)[1] == "unshelving"
    order = world.report("build")

    wait_until(lambda: not world.images.known, "the image is gone")
    found = world.get(uuid)
    assert '"shot"' in order.payload
    assert (found.vm_state, found.task_state, found.host) == ("active", None, "host1")
    assert found.image.id == "i"
    assert found.system_metadata == {"networks": "none"}
    assert world.scalars("SELECT count(*) FROM allocations") == [1]


def test_a_server_that_finds_no_host_stays_shelved_and_says_why(world):
    uuid = shelved(world, offload_after_s=0)
    world.report("destroy")
    world.scheduler.reason = "1 host; 1 disabled"

    world.shelving[0].unshelve(MEMBER, uuid, None)

    wait_until(lambda: states(world, uuid) == ("shelved_offloaded", None), "it rests")
    assert "1 disabled" in last_action(world, uuid).message
    assert "shot" in world.images.known


def test_a_shelved_server_on_its_host_just_starts(world):
    uuid = shelved(world)
    with pytest.raises(Conflict, match="must be SHELVED_OFFLOADED"):
        world.shelving[-1].unshelve(MEMBER, uuid, Unshelving(host="host1"))

    world.shelving[-1].unshelve(MEMBER, uuid, None)
    world.report("power_on")

    wait_until(lambda: not world.images.known, "the image is gone")
    assert states(world, uuid) == ("active", None)
    assert last_action(world, uuid).action == "unshelve"


def test_where_to_come_back_to_must_be_a_place(world):
    uuid = shelved(world, offload_after_s=0)
    world.report("destroy")
    unshelve = world.shelving[0].unshelve
    for nowhere in (Unshelving(host="none"), Unshelving(changes_zone=True, zone="none")):
        with pytest.raises(Invalid):
            unshelve(MEMBER, uuid, nowhere)
    with world.database.begin() as conn:
        instances.change(conn, uuid, pinned_availability_zone="other")
    with pytest.raises(Conflict, match="is not in the availability zone"):
        unshelve(MEMBER, uuid, Unshelving(host="host1"))

    unshelve(MEMBER, uuid, Unshelving(changes_zone=True, host="host1"))

    assert world.get(uuid).pinned_availability_zone is None
    world.report("build")
    assert world.get(uuid).host == "host1"


def test_a_shelved_server_is_offloaded_in_time(world):
    uuid = shelved(world, offload_after_s=3600)
    world.shelving[3600].offload_due()
    assert not world.hosts.sent

    with world.database.begin() as conn:
        conn.execute(text(
            "UPDATE instances SET system_metadata = system_metadata || jsonb_build_object("
            "'shelved_at', (now() - interval '3601 s')::text)"
        ))  # fmt: skip
    world.shelving[3600].offload_due()
    world.report("destroy")

    assert states(world, uuid) == ("shelved_offloaded", None)


@pytest.mark.parametrize("broken", ["power_off", "snapshot", "upload_snapshot"])
def test_a_server_that_cannot_be_shelved_runs_on(world, broken):
    uuid = world.boot()
    world.shelving[0].shelve(MEMBER, uuid, world.images.add("shot"))
    for step in ("power_off", "snapshot", "upload_snapshot"):
        world.report(step, power_state=4, error=REFUSED if step == broken else None)
        if step == broken:
            break
    if broken != "power_off":
        world.report("discard_snapshot")
    world.report("power_on")

    wait_until(lambda: states(world, uuid) == ("active", None), "it rests")
    assert world.images.known == {}
    assert "not today" in last_action(world, uuid).message


def test_the_image_of_a_shelved_server_goes_with_it(world):
    uuid = shelved(world, offload_after_s=0)
    world.report("destroy")

    world.delete(MEMBER, uuid)

    wait_until(lambda: world.get(uuid).deleted, "it is deleted")
    assert world.images.known == {}


def test_a_protected_image_does_not_keep_a_shelved_server_from_being_deleted(world):
    uuid = shelved(world, offload_after_s=0)
    world.report("destroy")
    world.images.add("shot", "active", protected="yes")

    world.delete(MEMBER, uuid)

    wait_until(lambda: world.get(uuid).deleted, "it is deleted")
    assert "shot" in world.images.known


def test_an_unshelve_that_every_host_fails_names_them(world):
    uuid = shelved(world, offload_after_s=0)
    world.report("destroy")
    world.shelving[0].unshelve(MEMBER, uuid, None)

    for _ in range(3):
        world.report("build", error=REFUSED)
        world.report("destroy")

    wait_until(lambda: states(world, uuid) == ("shelved_offloaded", None), "it rests")
    assert last_action(world, uuid).message.count("host1: The hypervisor failed: not today") == 3

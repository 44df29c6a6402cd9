# SPDX-License-Identifier: Apache-2.0
"""What is accepted: rows and task in one commit, the same for the same request, in order."""

import functools
import threading

import msgspec
import pytest
from sqlalchemy import text

from common.errors import (
    FlavorNotFound,
    InstanceInvalidState,
    InstanceLocked,
    InstanceNotFound,
    Invalid,
    NotForTpm,
    QuotaExceeded,
)
from common.ids import new_uuid
from common.objects.block_device import BlockDeviceMapping
from common.objects.image import ImageMeta
from common.objects.resources import Resources
from services.conductor import claims
from services.conductor.db import compute_nodes, flavors, instances, journal, power
from tests.functional.db.rows import TINY, caller
from tests.functional.db.test_quota import OPTIONS
from tests.functional.journal.world import ADMIN, MEMBER, TwoHosts, request
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional


def test_a_server_is_booted_stopped_started_rebooted_and_deleted(world):
    uuid = world.boot()
    assert (world.get(uuid).vm_state, world.get(uuid).host) == ("active", "host1")
    world.power.stop(MEMBER, uuid)
    assert world.get(uuid).task_state == "powering-off"
    world.report("power_off", power_state=4)
    assert (world.get(uuid).vm_state, world.get(uuid).power_state) == ("stopped", 4)
    world.power.start(MEMBER, uuid)
    world.report("power_on")
    world.power.reboot(MEMBER, uuid, hard=False)
    assert world.get(uuid).task_state == "rebooting"
    world.report("reboot")
    assert (world.get(uuid).vm_state, world.get(uuid).task_state) == ("active", None)
    world.delete(MEMBER, uuid)
    world.report("destroy")

    assert world.get(uuid).deleted
    assert world.scalars("SELECT count(*) FROM allocations") == [0]
    assert world.scalars("SELECT sum(instances) FROM compute_nodes") == [0]


def test_a_server_remembers_its_scheduler_hints(world):
    hints = {"different_host": ["other"], "query": "[]"}

    uuid = world.create(MEMBER, request(scheduler_hints=hints)).uuids[0]

    assert world.get(uuid).scheduler_hints == hints


def test_the_same_request_again_makes_no_second_server(world):
    same = request()

    first, second = world.create(MEMBER, same), world.create(MEMBER, same)

    assert first == second
    assert world.scalars("SELECT count(*) FROM instances") == [1]
    assert world.scalars("SELECT count(*) FROM tasks") == [1]


def test_as_many_servers_are_made_as_fit_the_quota(world):
    uuids = tuple(new_uuid() for _ in range(OPTIONS["instances"] + 2))

    created = world.create(MEMBER, request(uuids=uuids))

    assert len(created.uuids) == OPTIONS["instances"]
    assert world.scalars("SELECT name FROM instances ORDER BY launch_index")[:2] == [
        "web-1", "web-2",
    ]  # fmt: skip
    with pytest.raises(QuotaExceeded):
        world.create(MEMBER, request())


def test_how_many_would_be_accepted_is_told_without_making_any(world):
    uuids = tuple(new_uuid() for _ in range(OPTIONS["instances"] + 2))

    assert world.create.would_accept(MEMBER, request(uuids=uuids)) == OPTIONS["instances"]
    assert world.scalars("SELECT count(*) FROM instances") == [0]
    with pytest.raises(QuotaExceeded):
        world.create.would_accept(MEMBER, request(uuids=uuids, min_count=len(uuids)))


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"flavorid": "none"}, FlavorNotFound),
        ({"key_name": "none"}, Invalid),
        ({"image": ImageMeta(id="i", min_ram=4096)}, Invalid),
    ],
)
def test_what_is_refused_leaves_no_row(world, values, error):
    with pytest.raises(error):
        world.create(MEMBER, request(**values))

    assert world.scalars("SELECT count(*) FROM instances") == [0]
    assert world.scalars("SELECT count(*) FROM instance_actions") == [0]


def test_a_password_reaches_the_host_and_outlives_nothing(world):
    world.create(MEMBER, request(admin_password="s3cret"))
    operation = world.report("build")

    assert "s3cret" in operation.payload
    assert "s3cret" not in "".join(world.scalars("SELECT tasks::text FROM tasks"))
    assert "s3cret" not in "".join(world.scalars("SELECT instances::text FROM instances"))


def test_without_a_host_a_server_ends_in_error_that_says_why(world):
    world.scheduler.reason = "1 host; 1 disabled"
    uuid = world.create(MEMBER, request()).uuids[0]
    wait_until(lambda: world.get(uuid).task_state is None, "it rests")

    found = world.get(uuid)
    assert (found.vm_state, found.fault.code) == ("error", 500)
    assert found.fault.message == "No valid host was found. 1 host; 1 disabled"
    assert world.scalars("SELECT message FROM instance_actions") == [found.fault.message]


def test_a_lost_race_for_the_last_room_is_not_over_committed(world):
    need = TINY
    with world.database.begin() as conn:
        conn.execute(text("UPDATE compute_nodes SET memory_capacity_mib = :m"),
                     {"m": need.memory_mib * 3})  # fmt: skip
    candidate = TwoHosts().select(None, None).candidates[0][0]
    want = Resources(vcpus=1, memory_mib=need.memory_mib, disk_gib=1)
    won = []

    def claim(number):
        with world.database.begin() as conn:
            if claims.take(conn, f"i{number}", candidate, want) is not None:
                won.append(number)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 3
    assert world.scalars("SELECT sum(instances) FROM compute_nodes") == [3]
    with world.database.begin() as conn:
        assert claims.release(conn, f"i{won[0]}") == [candidate.host_uuid]
        assert claims.release(conn, f"i{won[0]}") == []
    assert world.scalars("SELECT sum(memory_claimed_mib) FROM compute_nodes") == [
        2 * need.memory_mib
    ]


def test_the_scheduler_learns_how_often_a_host_failed_to_build(world):
    candidate = TwoHosts().select(None, None).candidates[0][0]
    want = Resources(vcpus=1, memory_mib=1, disk_gib=1)
    for number in range(2):
        with world.database.begin() as conn:
            claims.take(conn, f"i{number}", candidate, want)
            claims.release(conn, f"i{number}", build_failed=True)

    with world.database.begin() as conn:
        (node,) = compute_nodes.some(conn, [candidate.host_uuid], down_after_s=60)
    assert node.failed_builds == 2


def test_state_and_lock_are_checked_and_administrators_pass_the_lock(world):
    uuid = world.boot()
    with pytest.raises(InstanceInvalidState):
        world.power.start(MEMBER, uuid)
    with world.database.begin() as conn:
        instances.change(conn, uuid, locked_by="owner")

    with pytest.raises(InstanceLocked):
        world.delete(MEMBER, uuid)
    with pytest.raises(InstanceNotFound):
        world.delete(caller(project_id="theirs"), uuid)
    world.power.stop(ADMIN, uuid)

    assert world.get(uuid).task_state == "powering-off"


def test_deleting_twice_is_deleting_once(world):
    uuid = world.boot()

    world.delete(MEMBER, uuid)
    world.delete(MEMBER, uuid)

    assert world.scalars("SELECT count(*) FROM tasks WHERE flow = 'delete'") == [1]
    world.report("destroy")
    assert world.get(uuid).deleted


def test_a_hard_reboot_takes_the_place_of_a_soft_one(world):
    uuid = world.boot()
    world.power.reboot(MEMBER, uuid, hard=False)
    wait_until(lambda: len(world.hosts.sent) == 1, "the soft one was sent")
    soft = world.hosts.sent.pop()

    world.power.reboot(MEMBER, uuid, hard=True)
    world.report("reboot")

    assert world.hosts.cancelled == [soft.id]
    assert (world.get(uuid).vm_state, world.get(uuid).task_state) == ("active", None)


def test_a_refused_stop_leaves_the_server_as_it_was_and_says_why(world):
    uuid = world.boot()
    world.power.stop(MEMBER, uuid)

    world.report("power_off", error=Invalid("the guest is stubborn"))

    assert (world.get(uuid).vm_state, world.get(uuid).task_state) == ("active", None)
    assert "the guest is stubborn" in world.scalars(
        "SELECT message FROM instance_actions WHERE action = 'stop'"
    )


def test_a_guest_at_rest_takes_on_what_its_host_sees_and_a_busy_one_does_not(world):
    rests, busy = world.boot(), world.boot()
    world.power.stop(MEMBER, busy)

    with world.database.begin() as conn:
        changed = power.take_over(conn, "host1", {rests: 4, busy: 4})
        again = power.take_over(conn, "host1", {rests: 4})

    assert (changed, again) == ({rests: "stopped"}, {})
    assert (world.get(rests).vm_state, world.get(rests).power_state) == ("stopped", 4)
    assert world.get(busy).vm_state == "active"


def test_a_paused_guest_that_is_gone_is_stopped(world):
    uuid = world.boot()
    world.power.pause(MEMBER, uuid)
    world.report("pause", power_state=3)

    with world.database.begin() as conn:
        changed = power.take_over(conn, "host1", {uuid: 4})

    assert changed == {uuid: "stopped"}


def test_guests_of_a_host_that_booted_run_again_if_they_ran(world):
    runs, stopped, busy = (world.boot() for _ in range(3))
    world.power.stop(MEMBER, stopped)
    world.report("power_off", power_state=4)
    world.power.pause(MEMBER, busy)
    world.hosts.sent.clear()

    assert [world.revival.host_booted(MEMBER, "host1") for _ in range(2)] == [1, 0]
    assert world.revival.host_booted(MEMBER, "host2") == 0

    assert world.get(runs).task_state == "powering-on"
    assert world.report("revive").instance_uuid == runs
    assert (world.get(runs).vm_state, world.get(runs).task_state) == ("active", None)
    assert world.get(stopped).vm_state == "stopped"


def test_a_guest_that_does_not_run_again_is_in_error_and_says_why(world):
    uuid = world.boot()
    world.revival.host_booted(MEMBER, "host1")

    world.report("revive", error=Invalid("its disk is gone"))

    assert world.get(uuid).vm_state == "error"
    assert "its host has booted: its disk is gone" in world.get(uuid).fault.message


@pytest.mark.parametrize("asked_by", ["flavor", "image"])
def test_a_guest_with_a_tpm_is_not_sent_where_the_tpm_cannot_follow(world, asked_by):
    if asked_by == "flavor":
        with world.database.begin() as conn:
            flavor = msgspec.structs.replace(
                TINY, flavorid="tpm", name="tpm", extra_specs={"hw:tpm_version": "2.0"}
            )
            flavors.add(conn, flavor)
        uuid = world.boot(flavorid="tpm")
    else:
        uuid = world.boot(image=ImageMeta(id="i", properties={"hw_tpm_version": "2.0"}))
    evacuate = functools.partial(
        world.moves.evacuate, host=None, admin_password=None, stopped=False
    )

    for refused in (lambda: world.shelving[0].shelve(MEMBER, uuid, world.images.add("s")),
                    lambda: evacuate(ADMIN, uuid)):  # fmt: skip
        with pytest.raises(NotForTpm, match="not supported for vTPM-enabled instance"):
            refused()
    assert world.get(uuid).task_state is None


@pytest.mark.parametrize(
    ("wanted", "grace_s"), [("5", 5), ("0", 0), ("99999999", 3600), ("soon", 60), (None, 60)]
)
def test_an_image_says_how_long_its_guests_take_to_shut_down(world, wanted, grace_s):
    properties = {} if wanted is None else {"os_shutdown_timeout": wanted}
    uuid = world.boot(image=ImageMeta(id="i", properties=properties))

    world.power.stop(MEMBER, uuid)

    told = world.report("power_off", power_state=4).payload
    assert msgspec.json.decode(told).get("grace_s", 60) == grace_s


def test_a_boot_costs_few_statements(world, queries):
    queries.sent.clear()
    world.boot()

    assert len(queries.sent) <= 20, queries.sent


def test_an_image_of_volumes_is_only_recorded(world):
    root = world.volumes.add(new_uuid())
    disk = BlockDeviceMapping(uuid="", source="volume", destination="volume", volume_id=root)
    (uuid,) = world.create(MEMBER, request(block_devices=(disk,))).uuids
    with pytest.raises(InstanceInvalidState):
        world.snapshots.record_image(MEMBER, uuid)
    world.report("build")

    found = world.snapshots.check(MEMBER, uuid, "create_image", 0)
    world.snapshots.record_image(MEMBER, uuid)

    assert [each.volume_id for each in found.block_devices] == [root]
    assert world.scalars("SELECT action FROM instance_actions ORDER BY id") == [
        "create", "createImage",
    ]  # fmt: skip
    assert world.get(uuid).task_state is None
    with pytest.raises(Invalid, match="no disk on its host"):
        world.snapshots.create_image(MEMBER, uuid, "i")
    with pytest.raises(Invalid, match="not supported for volume-backed"):
        world.snapshots.check(MEMBER, uuid, "create_backup", 0)


def test_tasks_are_listed_with_what_they_wait_for(world):
    world.create(MEMBER, request())
    wait_until(lambda: bool(world.hosts.sent), "build was sent")

    with world.database.begin() as conn:
        (task,) = journal.list_tasks(conn, active_only=True, instance=None, limit=10)

    assert (task.flow, task.state, task.step, task.host) == ("boot", "waiting", "build", "host1")
    assert task.deadline_at is not None

# SPDX-License-Identifier: Apache-2.0
"""Shares of instances: who may have one, and how long a host may mount it."""

import pytest

from common.errors import (
    InstanceHasShares,
    InstanceInvalidState,
    InvalidShare,
    ShareInUse,
    ShareNotFound,
    SharesNotSupported,
)
from common.objects.share import Share
from common.states import PowerState
from services.conductor.db import instances
from tests.functional.journal.test_every_flow import boot, power
from tests.functional.journal.unlucky import Unlucky
from tests.functional.journal.world import MEMBER

pytestmark = pytest.mark.functional

MINE = Share(id="mine", status="available", protocol="NFS", export_location="nas:/mine")
OTHER = Share(id="other", status="available", protocol="CEPHFS", export_location="mon:/other")
ON_HOST = {("mine", "host1")}


@pytest.fixture
def world(database):
    return Unlucky(database)


@pytest.fixture
def off(world):
    return stopped(world)


def stopped(world):
    """An instance that is off."""
    uuid = world.new_uuid()
    for step in (boot, power("stop")):
        step(world, uuid)
        world.run(uuid)
        world.volumes.release(uuid, ["data"])
    return uuid


def attach(world, uuid, share=MINE, tag=None):
    made = world.mounts.attach(MEMBER, uuid, share, tag)
    world.run(uuid)
    return made


def detach(world, uuid, share_id="mine"):
    world.mounts.detach(MEMBER, uuid, share_id)
    world.run(uuid)


def shares(world, uuid):
    return [(each.share_id, each.tag, each.status) for each in world.get(uuid).shares]


def test_a_share_is_mounted_on_the_host_and_goes_again(world, off):
    made = attach(world, off)

    assert (made.tag, made.status, made.export_location) == ("mine", "attaching", "nas:/mine")
    assert shares(world, off) == [("mine", "mine", "inactive")]
    assert world.shares.allowed == ON_HOST
    assert world.host.shares["host1", off] == {"mine"}

    detach(world, off)

    assert shares(world, off) == []
    assert world.shares.allowed == set()
    assert world.host.shares["host1", off] == set()
    actions = world.scalars("SELECT action FROM instance_actions ORDER BY id")
    assert actions[-2:] == ["attach_share", "detach_share"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "creating"}, "it is creating"),
        ({"export_location": None}, "no export location"),
        ({"protocol": "CIFS"}, "its protocol is CIFS"),
    ],
)
def test_a_share_that_cannot_be_mounted_is_refused(world, off, fields, reason):
    values = {"status": "available", "protocol": "NFS", "export_location": "nas:/s", **fields}

    with pytest.raises(InvalidShare, match=reason):
        world.mounts.attach(MEMBER, off, Share(id="s", **values), None)

    assert shares(world, off) == []


def test_shares_and_tags_of_an_instance_are_there_once(world, off):
    attach(world, off, tag="data")

    for share, tag in ((MINE, "another"), (OTHER, "data")):
        with pytest.raises(ShareInUse):
            world.mounts.attach(MEMBER, off, share, tag)
    attach(world, off, OTHER)

    assert [each[0] for each in shares(world, off)] == ["mine", "other"]


def test_a_guest_that_is_on_neither_gets_nor_loses_a_share(world, off):
    attach(world, off)
    power("start")(world, off)
    world.run(off)

    with pytest.raises(InstanceInvalidState, match="create share"):
        world.mounts.attach(MEMBER, off, OTHER, None)
    with pytest.raises(InstanceInvalidState, match="delete share"):
        world.mounts.detach(MEMBER, off, "mine")


def test_a_host_that_cannot_give_shares_is_not_asked_to(world, off):
    with world.database.begin() as conn:
        conn.exec_driver_sql("UPDATE compute_nodes SET report = report - 'traits'")

    with pytest.raises(SharesNotSupported, match="host1"):
        world.mounts.attach(MEMBER, off, MINE, None)


def test_a_share_that_the_instance_does_not_have_is_not_detached(world, off):
    with pytest.raises(ShareNotFound):
        world.mounts.detach(MEMBER, off, "mine")


def test_what_a_share_cannot_follow_through_is_refused(world, off):
    attach(world, off)

    for verb in (
        lambda: world.moves.migrate(MEMBER, off, host=None),
        lambda: world.moves.resize(MEMBER, off, flavorid="bigger", disk_config=None),
        lambda: world.moves.live_migrate(MEMBER, off, host=None, block_migration=None),
        lambda: world.moves.evacuate(MEMBER, off, host=None, admin_password="x", stopped=False),
        lambda: world.shelving[0].shelve(MEMBER, off, "image"),
        lambda: world.power.suspend(MEMBER, off),
    ):
        with pytest.raises(InstanceHasShares):
            verb()


def test_a_share_that_the_service_does_not_give_is_in_error_and_can_be_detached(world, off):
    world.shares.refuse = InvalidShare(share="mine", reason="no access for you")
    attach(world, off)

    assert shares(world, off) == [("mine", "mine", "error")]
    [message] = world.scalars("SELECT reason FROM tasks WHERE flow = 'attach_share'")
    assert "no access for you" in message

    world.shares.refuse = None
    detach(world, off)

    assert shares(world, off) == []


def test_a_host_keeps_its_access_while_one_of_its_guests_has_the_share(world, off):
    second = stopped(world)
    for uuid in (off, second):
        attach(world, uuid)

    detach(world, off)
    assert world.shares.allowed == ON_HOST

    detach(world, second)
    assert world.shares.allowed == set()


def test_the_end_of_an_instance_takes_the_access_that_nobody_else_needs(world, off):
    second = stopped(world)
    attach(world, off)
    attach(world, off, OTHER)
    attach(world, second)

    world.delete(MEMBER, off)
    world.run(off)

    assert world.shares.allowed == ON_HOST
    assert world.get(off).shares == ()


@pytest.mark.parametrize("end", [detach, lambda w, uuid: (w.delete(MEMBER, uuid), w.run(uuid))])
def test_who_comes_while_the_host_loses_its_access_has_it(world, off, end):
    second = stopped(world)
    attach(world, off)

    def come():
        world.shares.when_denied = lambda: None
        world.mounts.attach(MEMBER, second, MINE, None)
        world.shares.allowed.add(("mine", "host1"))  # it is given before the other is taken

    world.shares.when_denied = come
    end(world, off)
    world.run(second)

    assert shares(world, second) == [("mine", "mine", "inactive")]
    assert world.shares.allowed == ON_HOST


def test_a_share_stays_with_a_guest_that_was_started_before_it_was_detached(world, off):
    attach(world, off)
    world.power.start(MEMBER, off)  # and comes first
    world.mounts.detach(MEMBER, off, "mine")

    world.run(off)

    assert world.get(off).power_state == PowerState.RUNNING
    assert shares(world, off) == [("mine", "mine", "inactive")]
    assert world.shares.allowed == ON_HOST
    assert world.host.shares["host1", off] == {"mine"}
    [message] = world.scalars("SELECT reason FROM tasks WHERE flow = 'detach_share'")
    assert "vm_state active" in message


def test_a_share_is_not_given_to_a_guest_that_was_started_before(world, off):
    world.power.start(MEMBER, off)
    world.mounts.attach(MEMBER, off, MINE, None)

    world.run(off)

    assert shares(world, off) == [("mine", "mine", "error")]
    assert world.shares.allowed == set()


def test_a_share_that_is_asked_for_does_not_keep_an_instance_from_its_end(world, off):
    world.delete(MEMBER, off)
    world.mounts.attach(MEMBER, off, MINE, None)

    world.run(off)

    assert world.get(off).deleted
    assert world.get(off).shares == ()
    assert world.shares.allowed == set()


def test_a_share_in_error_is_not_given_to_a_guest_that_starts(world, off):
    attach(world, off)
    with world.database.begin() as conn:
        [share] = instances.get(conn, off, down_after_s=60).shares
    assert world.get(off).attached_shares == (share,)

    world.shares.refuse = InvalidShare(share="mine", reason="no")
    detach(world, off)

    assert shares(world, off) == [("mine", "mine", "error")]
    assert world.get(off).attached_shares == ()

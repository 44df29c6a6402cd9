# SPDX-License-Identifier: Apache-2.0
"""What the scheduler is told when a host is chosen: what is needed, and who is in the group."""

import msgspec
import pytest
from sqlalchemy import text

from common.objects.request_spec import Candidate
from common.objects.resources import Resources
from common.objects.server_group import ServerGroup
from services.conductor import claims
from services.conductor.db import flavors, server_groups
from tests.functional.db.rows import PROJECT, TINY, USER
from tests.functional.journal.world import ADMIN
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional

GROUP = ServerGroup(
    uuid="g", project_id=PROJECT, user_id=USER, name="g", policy="soft-anti-affinity"
)


@pytest.fixture
def hints(world):
    with world.database.begin() as conn:
        server_groups.add(conn, GROUP)
    return {"group": ["g"]}


def test_a_member_is_told_of_those_that_came_before_it(world, hints):
    first = world.boot(scheduler_hints=hints)
    world.scheduler.turn = 1
    second = world.boot(scheduler_hints=hints)

    seen = [spec.group for spec in world.scheduler.asked]

    assert (seen[0].policy, seen[0].hosts) == ("soft-anti-affinity", {})
    assert (seen[1].hosts, seen[1].recent) == ({"host1": 1}, (first,))
    assert world.get(second).host == "host2"


def test_a_member_that_moves_is_told_of_the_others_as_they_are(world, hints):
    moving, other = (world.boot(scheduler_hints=hints) for _ in range(2))
    with world.database.begin() as conn:
        conn.execute(text(
            "UPDATE instances SET launched_at = now() - interval '1 hour', host = 'host2' "
            f"WHERE uuid = '{other}'"
        ))  # fmt: skip
    world.scheduler.reason = "not today"

    world.moves.live_migrate(ADMIN, moving, host=None, block_migration=None)
    wait_until(lambda: world.get(moving).task_state is None, "it rests")

    group = world.scheduler.asked[-1].group
    assert (group.hosts, group.recent) == ({"host2": 1}, ())


def test_a_group_that_is_gone_asks_for_nothing(world, hints):
    instance = world.boot(scheduler_hints=hints)
    assert world.get(instance).server_group == "g"
    with world.database.begin() as conn:
        found = server_groups.get(conn, "g", project_id=PROJECT)
        server_groups.remove(conn, found)
    world.scheduler.reason = "not today"

    world.moves.live_migrate(ADMIN, instance, host=None, block_migration=None)
    wait_until(lambda: world.get(instance).task_state is None, "it rests")

    assert world.scheduler.asked[-1].group is None
    assert world.get(instance).server_group is None
    assert world.get(instance).scheduler_hints == hints


def test_threads_with_a_cpu_of_their_own_take_one_more_than_the_guest_sees(world):
    first = world.scheduler.reports[0]
    host = Candidate(host_uuid=first.uuid, host=first.host, node=first.node)
    specs = {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"}
    own = msgspec.structs.replace(TINY, flavorid="own", name="own", vcpus=1, extra_specs=specs)
    with world.database.begin() as conn:
        flavors.add(conn, own)
        conn.execute(text("UPDATE compute_nodes SET vcpus_capacity = 2"))

    world.boot(flavorid="own")

    assert world.scheduler.asked[0].need.vcpus == 2
    assert world.scalars("SELECT vcpus FROM allocations") == [2]
    with world.database.begin() as conn:
        assert not claims.fits(conn, host, Resources(vcpus=1))

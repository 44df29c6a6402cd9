# SPDX-License-Identifier: Apache-2.0
"""Quotas: counted from the rows, kept against races, refused in the words that clients know."""

import threading

import pytest

from common.errors import Invalid, KeypairQuotaExceeded, QuotaExceeded
from common.objects.flavor import Flavor
from common.objects.keypair import Keypair
from services.conductor.db import instances, keypairs, quotas
from services.conductor.quota import Quota
from tests.functional.db.rows import NOON, PROJECT, TINY, USER, add, make_instance

pytestmark = pytest.mark.functional

OPTIONS = {
    "instances": 10, "cores": 20, "ram": 51200, "metadata_items": 128, "injected_files": 5,
    "injected_file_content_bytes": 10240, "injected_file_path_length": 255, "key_pairs": 2,
    "server_groups": 10, "server_group_members": 10,
}  # fmt: skip
BIG = Flavor(flavorid="9", name="big", vcpus=8, memory_mib=16384, root_gib=1)


@pytest.fixture
def quota():
    return Quota(OPTIONS)


def fit(database, quota, flavor=TINY, count=1, at_least=None, user=USER, **arguments):
    with database.begin() as conn:
        return quota.check_create(
            conn, PROJECT, user, flavor=flavor, max_count=count,
            min_count=count if at_least is None else at_least, **arguments,
        )  # fmt: skip


def limit(database, quota, user=None, force=True, **limits):
    with database.begin() as conn:
        return quota.update(conn, PROJECT, user, limits, force=force)


def test_an_empty_project_may_have_its_limit_and_not_one_more(database, quota):
    assert fit(database, quota, count=10) == 10

    with pytest.raises(QuotaExceeded, match="instances") as refused:
        fit(database, quota, count=11)
    assert str(refused.value) == (
        "Quota exceeded for instances: Requested 11, but already used 0 of 10 instances"
    )


def test_every_resource_that_does_not_fit_is_named(database, quota):
    add(database, *(make_instance(flavor=BIG) for _ in range(2)))

    with pytest.raises(QuotaExceeded) as refused:
        fit(database, quota, flavor=BIG, count=2)

    assert str(refused.value) == (
        "Quota exceeded for cores, ram: Requested 16, 32768, "
        "but already used 16, 32768 of 20, 51200 cores, ram"
    )


def test_as_many_as_fit_are_accepted_but_not_less_than_asked_for(database, quota):
    add(database, *(make_instance() for _ in range(7)))

    assert fit(database, quota, count=5, at_least=2) == 3
    with pytest.raises(QuotaExceeded):
        fit(database, quota, count=5, at_least=4)


def test_deleted_and_foreign_instances_do_not_count(database, quota):
    add(database, *(make_instance(project_id="theirs") for _ in range(20)))
    mine = add(database, *(make_instance() for _ in range(10)))
    with database.begin() as conn:
        for gone in mine[:4]:
            instances.change(conn, gone.uuid, deleted_at=NOON)

    assert fit(database, quota, count=10, at_least=1) == 4


def test_no_limit_lets_everything_in(database, quota):
    limit(database, quota, instances=-1, cores=-1, ram=-1)

    assert fit(database, quota, flavor=BIG, count=1000) == 1000


def test_a_users_own_limit_counts_the_users_own_instances(database, quota):
    add(database, make_instance(), make_instance(user_id="other"))
    limit(database, quota, user=USER, instances=2)

    assert fit(database, quota, count=5, at_least=1) == 1
    assert fit(database, quota, count=5, at_least=1, user="other") == 5


def test_too_many_metadata_items_are_refused(database, quota):
    assert fit(database, quota, metadata_items=128) == 1

    with pytest.raises(QuotaExceeded, match="128"):
        fit(database, quota, metadata_items=129)


def test_two_requests_at_once_do_not_exceed_the_quota_together(database, quota):
    limit(database, quota, instances=5)
    got, barrier = [], threading.Barrier(4)

    def create():
        barrier.wait()
        for _ in range(3):
            try:
                with database.begin() as conn:
                    quota.check_create(conn, PROJECT, USER, flavor=TINY, min_count=1, max_count=1)
                    instances.insert_new(conn, [make_instance()])
                got.append(1)
            except QuotaExceeded:
                return

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 5


def test_a_quota_set_shows_limits_and_usage(database, quota):
    add(database, make_instance(flavor=BIG))
    limit(database, quota, ram=20000)

    with database.read() as conn:
        whole = quota.quota_set(conn, PROJECT, with_usage=True)
        plain = quota.quota_set(conn, PROJECT)
        defaults = quota.defaults(conn)

    assert whole.limits == plain.limits == defaults.limits | {"ram": 20000}
    assert defaults.limits["injected_file_path_bytes"] == 255
    assert defaults.limits["fixed_ips"] == -1
    assert {k: v for k, v in whole.in_use.items() if v} == {
        "instances": 1, "cores": 8, "ram": 16384,
    }  # fmt: skip
    assert plain.in_use == {}


@pytest.mark.parametrize(
    ("limits", "user"),
    [
        ({"instances": 1}, None), ({"cores": -2}, None), ({"nonsense": 1}, None),
        ({"instances": 11}, USER), ({"instances": -1}, USER),
    ],
)  # fmt: skip
def test_a_limit_that_makes_no_sense_is_refused(database, quota, limits, user):
    add(database, make_instance(), make_instance())

    with pytest.raises(Invalid):
        limit(database, quota, user=user, force=False, **limits)


def test_a_limit_below_usage_can_be_forced(database, quota):
    add(database, make_instance(), make_instance())

    assert limit(database, quota, instances=1).limits["instances"] == 1


def test_deleting_a_projects_quota_goes_back_to_the_defaults(database, quota):
    limit(database, quota, instances=1)
    limit(database, quota, user=USER, instances=1)

    with database.begin() as conn:
        quotas.remove(conn, PROJECT, None)

    assert fit(database, quota, count=10) == 10


def test_a_users_key_pairs_are_limited(database, quota):
    with database.begin() as conn:
        for name in "ab":
            quota.check_keypair(conn, PROJECT, USER)
            keypairs.add(conn, Keypair(user_id=USER, name=name, fingerprint="f", public_key="k"))

        with pytest.raises(KeypairQuotaExceeded, match="Quota exceeded, too many key pairs."):
            quota.check_keypair(conn, PROJECT, USER)
        quota.check_keypair(conn, PROJECT, "somebody else")

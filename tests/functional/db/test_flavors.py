# SPDX-License-Identifier: Apache-2.0
"""Flavors and keypairs: who sees which, page by page."""

import pytest

from common.errors import (
    Conflict,
    ExtraSpecNotFound,
    FlavorAccessExists,
    FlavorAccessNotFound,
    FlavorExists,
    FlavorNameExists,
    FlavorNotFound,
    Invalid,
    KeypairExists,
    KeypairNotFound,
)
from common.objects.flavor import Flavor
from common.objects.keypair import Keypair
from services.conductor.endpoint.catalog import CatalogEndpoint
from services.conductor.quota import Quota
from tests.functional.db.rows import PROJECT, USER, caller
from tests.functional.db.test_quota import OPTIONS

pytestmark = pytest.mark.functional

ADMIN = caller(is_admin=True)
MEMBER = caller()


@pytest.fixture
def catalog(database):
    return CatalogEndpoint(database, Quota(OPTIONS | {"key_pairs": 100}))


def make_flavor(catalog, flavorid, **values):
    return catalog.create_flavor(
        ADMIN,
        Flavor(**{"flavorid": flavorid, "name": f"f{flavorid}", "vcpus": 1, "memory_mib": 512,
                  "root_gib": 1, **values}),
    )  # fmt: skip


def ids(catalog, ctx=MEMBER, **arguments):
    return [flavor.flavorid for flavor in catalog.flavors(ctx, **arguments)]


def test_a_flavor_comes_back_as_it_was_made(catalog):
    made = make_flavor(
        catalog, "a b", ephemeral_gib=2, swap_mib=3, rxtx_factor=1.5, description="d",
        extra_specs={"hw:cpu_policy": "shared"},
    )  # fmt: skip

    assert catalog.flavor(MEMBER, "a b") == made
    assert made.created_at is not None


def test_two_flavors_share_neither_id_nor_name(catalog):
    make_flavor(catalog, "1")

    with pytest.raises(FlavorExists):
        make_flavor(catalog, "1", name="other")
    with pytest.raises(FlavorNameExists):
        make_flavor(catalog, "2", name="f1")


def test_a_private_flavor_is_for_administrators_and_projects_with_access(catalog):
    make_flavor(catalog, "1")
    make_flavor(catalog, "2", is_public=False)
    with pytest.raises(FlavorNotFound):
        catalog.flavor(MEMBER, "2")
    assert ids(catalog) == ["1"]

    assert catalog.change_flavor_access(ADMIN, "2", project_id=PROJECT, grant=True) == [PROJECT]

    assert catalog.flavor(MEMBER, "2").flavorid == "2"
    assert ids(catalog) == ids(catalog, is_public=None) == ["1", "2"]
    assert ids(catalog, caller(project_id="other")) == ["1"]
    assert ids(catalog, caller(project_id="o", is_admin=True), is_public=None) == ["1", "2"]
    assert ids(catalog, ADMIN, is_public=False) == ["2"]


def test_access_is_given_and_taken_once(catalog):
    make_flavor(catalog, "1")
    make_flavor(catalog, "2", is_public=False)
    catalog.change_flavor_access(ADMIN, "2", project_id="p", grant=True)

    with pytest.raises(FlavorAccessExists):
        catalog.change_flavor_access(ADMIN, "2", project_id="p", grant=True)
    assert catalog.change_flavor_access(ADMIN, "2", project_id="p", grant=False) == []
    with pytest.raises(FlavorAccessNotFound):
        catalog.change_flavor_access(ADMIN, "2", project_id="p", grant=False)
    with pytest.raises(Conflict):
        catalog.change_flavor_access(ADMIN, "1", project_id="p", grant=True)
    with pytest.raises(FlavorNotFound):
        catalog.flavor_access(ADMIN, "1")
    with pytest.raises(FlavorAccessNotFound):
        catalog.change_flavor_access(ADMIN, "1", project_id="p", grant=False)


def test_access_to_a_public_flavor_can_be_given_on_purpose_and_taken_again(catalog):
    make_flavor(catalog, "1")

    given = catalog.change_flavor_access(ADMIN, "1", project_id="p", grant=True, even_public=True)

    assert given == ["p"]
    assert catalog.change_flavor_access(ADMIN, "1", project_id="p", grant=False) == []


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("key", ["flavorid", "memory_mb", "description", "name", "created_at"])
def test_pages_of_flavors_have_each_flavor_once(catalog, key, direction):
    for n in range(7):
        make_flavor(catalog, str(n), memory_mib=n // 3, description="d" if n % 2 else None)
    order = {"sort_key": key, "sort_dir": direction}
    whole = ids(catalog, **order)

    paged = []
    while page := ids(catalog, limit=2, marker=paged[-1] if paged else None, **order):
        paged += page

    assert paged == whole
    assert sorted(whole) == list("0123456")


def test_small_flavors_are_left_out_of_a_filtered_list(catalog):
    make_flavor(catalog, "1")
    make_flavor(catalog, "2", memory_mib=1024, root_gib=20)

    assert ids(catalog, min_memory_mib=513) == ["2"]
    assert ids(catalog, min_root_gib=2) == ["2"]


def test_a_name_finds_the_flavor_that_has_just_that_one(catalog):
    for flavorid, name in (("1", "m1"), ("2", "m1.small"), ("3", "M1"), ("4", "m_")):
        make_flavor(catalog, flavorid, name=name)
    make_flavor(catalog, "5", name="hidden", is_public=False)

    assert ids(catalog, name="m1") == ["1"]
    assert ids(catalog, name="m_") == ["4"]
    assert ids(catalog, name="m%") == ids(catalog, name="") == ids(catalog, name="hidden") == []
    assert ids(catalog, ADMIN, name="hidden", is_public=None) == ["5"]


def test_an_unknown_marker_or_key_is_refused(catalog):
    with pytest.raises(Invalid, match=r"marker \[9\] not found"):
        ids(catalog, marker="9")
    with pytest.raises(Invalid):
        ids(catalog, sort_key="password")


def test_extra_specs_are_set_and_deleted(catalog):
    make_flavor(catalog, "1", extra_specs={"a": "1", "b": "2"})

    after = catalog.change_extra_specs(ADMIN, "1", set_items={"c": "3"}, delete_keys=["a"])

    assert after == catalog.flavor(MEMBER, "1").extra_specs == {"b": "2", "c": "3"}
    with pytest.raises(ExtraSpecNotFound):
        catalog.change_extra_specs(ADMIN, "1", set_items={}, delete_keys=["a"])


def test_a_deleted_flavor_is_gone_with_its_access(catalog):
    make_flavor(catalog, "1", is_public=False)
    catalog.change_flavor_access(ADMIN, "1", project_id="p", grant=True)

    catalog.delete_flavor(ADMIN, "1")

    for call in (
        lambda: catalog.delete_flavor(ADMIN, "1"),
        lambda: catalog.flavor(ADMIN, "1"),
        lambda: catalog.update_flavor(ADMIN, "1", description="x"),
    ):
        with pytest.raises(FlavorNotFound):
            call()


def test_listing_flavors_is_one_statement(catalog, queries):
    for n in range(20):
        make_flavor(catalog, str(n), is_public=n % 2 == 0)

    with queries.at_most(1):
        ids(catalog)


def test_keypairs_belong_to_their_user(catalog):
    for user, name in ((USER, "b"), (USER, "a"), ("other", "a")):
        catalog.create_keypair(
            MEMBER, Keypair(user_id=user, name=name, fingerprint=user, public_key="k")
        )

    assert catalog.keypair(MEMBER, user_id="other", name="a").fingerprint == "other"
    assert [k.name for k in catalog.keypairs(MEMBER, user_id=USER)] == ["a", "b"]
    assert [k.name for k in catalog.keypairs(MEMBER, user_id=USER, marker="a")] == ["b"]
    with pytest.raises(KeypairExists):
        catalog.create_keypair(
            MEMBER, Keypair(user_id=USER, name="a", fingerprint="f", public_key="k")
        )
    catalog.delete_keypair(MEMBER, user_id=USER, name="a")
    with pytest.raises(KeypairNotFound):
        catalog.keypair(MEMBER, user_id=USER, name="a")
    with pytest.raises(Invalid):
        catalog.keypairs(MEMBER, user_id=USER, marker="a")

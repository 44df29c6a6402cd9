# SPDX-License-Identifier: Apache-2.0
"""Lists of servers: what is in them, in which order, page by page."""

import itertools
from datetime import timedelta

import pytest
from msgspec.structs import replace

from common.errors import Invalid, Unavailable
from common.objects.image import ImageMeta
from common.objects.new_server import ServerFilters
from common.objects.share_mapping import ShareMapping
from services.conductor.db import instances
from tests.factories import make_keypair
from tests.functional.db.rows import (
    DOWN_AFTER_S,
    NOON,
    PROJECT,
    TINY,
    add,
    make_instance,
    make_vif,
)

pytestmark = pytest.mark.functional

_SHARE = ShareMapping(uuid="s", share_id="share-1", tag="data", export_location="10.0.0.9:/data")


def listed(database, *, brief=False, **filters):
    with database.read() as conn:
        return instances.list_servers(
            conn, ServerFilters(**filters), down_after_s=DOWN_AFTER_S, brief=brief
        )


def names(database, **filters):
    return [server.name for server in listed(database, **filters)]


@pytest.fixture
def servers(database):
    """Four servers, `web` the oldest; they differ in everything that filters know."""
    web = make_instance(
        name="web", host="h1", node="n1", tags=("red", "big"), metadata={"role": "web"},
        vifs=(make_vif("10.0.0.5"),), created_at=NOON, key_name="k1",
    )  # fmt: skip
    db = make_instance(
        name="db-1", host="h2", node="n2", tags=("red",), vm_state="stopped",
        vifs=(make_vif("10.0.1.5", "fd00::1:5"),), created_at=NOON + timedelta(seconds=1),
        locked_by="admin", config_drive=True,
    )  # fmt: skip
    new = make_instance(
        name="db-2", vm_state="building", task_state="spawning",
        created_at=NOON + timedelta(seconds=2), user_id="other",
    )  # fmt: skip
    theirs = make_instance(
        name="theirs", project_id="theirs", created_at=NOON + timedelta(seconds=3), power_state=4,
        flavor=TINY.__class__(flavorid="2", name="m", vcpus=2, memory_mib=1, root_gib=1),
    )  # fmt: skip
    add(database, web, db, new, theirs)
    return {server.name: server for server in (web, db, new, theirs)}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, "theirs db-2 db-1 web"),
        ({"project_id": PROJECT}, "db-2 db-1 web"),
        ({"user_id": "other"}, "db-2"),
        ({"columns": {"vm_state": ["stopped", "building"]}}, "db-2 db-1"),
        ({"columns": {"host": ["h1"]}}, "web"),
        ({"columns": {"flavor": ["2"]}}, "theirs"),
        ({"columns": {"power_state": ["4"]}}, "theirs"),
        ({"columns": {"host": []}}, ""),
        ({"patterns": {"name": "^db-"}}, "db-2 db-1"),
        ({"patterns": {"name": "DB"}}, ""),
        ({"patterns": {"power_state": "[0-3]"}}, "db-2 db-1 web"),
        ({"patterns": {"created_at": "2026-01-02 12:00:01"}}, "db-1"),
        ({"patterns": {"config_drive": "True"}}, "db-1"),
        ({"patterns": {"ip": r"^10\.0\.0\."}}, "web"),
        ({"patterns": {"ip": "5$"}}, "db-1 web"),
        ({"patterns": {"ip6": "1:5"}}, "db-1"),
        ({"patterns": {"ip": "fd00"}}, ""),
        ({"patterns": {"key_name": "k", "name": "w"}}, "web"),
        ({"tags_all": ("red", "big")}, "web"),
        ({"tags_any": ("red", "blue")}, "db-1 web"),
        ({"not_tags_all": ("red", "big")}, "theirs db-2 db-1"),
        ({"not_tags_any": ("red", "blue")}, "theirs db-2"),
        ({"metadata": {"role": "web"}}, "web"),
        ({"locked": True}, "db-1"),
        ({"locked": False}, "theirs db-2 web"),
        ({"vm_states": ("building",), "task_states": ("spawning",)}, "db-2"),
        ({"vm_states": ("building",), "task_states": ("networking",)}, ""),
        ({"changes_since": "2026-01-02T12:00:02Z"}, "theirs db-2"),
        ({"changes_before": "2026-01-02T13:00:01+01:00"}, "db-1 web"),
        ({"limit": 0}, ""),
        ({"limit": 2}, "theirs db-2"),
        ({"columns": {"name": ["x' OR '1'='1"]}}, ""),
    ],
)
def test_filters_restrict_the_list(database, servers, filters, expected):
    assert names(database, **filters) == expected.split()


def test_a_list_has_of_a_server_all_that_a_list_shows(database):
    image = ImageMeta(
        id="image-1", name="debian", checksum="c", min_disk=1, properties={"os_distro": "debian"}
    )
    add(database, make_instance(
        image=image, keypair=make_keypair(), system_metadata={"a": "b"}, shares=(_SHARE,),
        launched_on="h1", host="h1", vifs=(make_vif("10.0.0.5"),), tags=("red",),
        scheduler_hints={"group": "g"},
    ))  # fmt: skip
    (shown,) = listed(database)

    with database.read() as conn:
        whole = instances.get(conn, shown.uuid, down_after_s=DOWN_AFTER_S)

    assert shown == replace(
        whole, image=ImageMeta(id="image-1", properties={"os_distro": "debian"}), keypair=None,
        system_metadata={}, shares=(), launched_on=None, server_group=None,
    )  # fmt: skip


def test_a_list_tells_of_servers_without_an_image_and_of_deleted_ones(database):
    gone = add(database, make_instance(image=None))
    with database.begin() as conn:
        instances.change(conn, gone.uuid, vm_state="deleted", deleted_at=NOON)

    (shown,) = listed(database, deleted=True)

    assert (shown.image, shown.deleted) == (None, True)


def test_deleted_servers_are_listed_when_asked_for(database, servers):
    with database.begin() as conn:
        instances.change(conn, servers["web"].uuid, vm_state="deleted", deleted_at=NOON)

    assert names(database) == ["theirs", "db-2", "db-1"]
    assert names(database, deleted=True) == ["web"]
    assert names(database, deleted=None) == ["theirs", "db-2", "db-1", "web"]


def test_a_change_moves_a_server_into_changes_since(database, servers):
    with database.begin() as conn:
        instances.change(conn, servers["web"].uuid, progress=1)

    assert names(database, changes_since="2026-01-03T00:00:00Z") == ["web"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"patterns": {"name": "("}}, "regular expression"),
        ({"patterns": {"ip": "*"}}, "regular expression"),
        ({"patterns": {"nonsense": "a"}}, "Invalid filter field: nonsense."),
        ({"columns": {"__class__": ["a"]}}, "Invalid filter field: __class__."),
        ({"changes_since": "soon"}, "time"),
        ({"marker": "nobody"}, r"marker \[nobody\] not found"),
        ({"sort": (("color", "asc"),)}, "color"),
        ({"columns": {"name": ["a\0b"]}}, "NUL"),
    ],
)
def test_what_makes_no_sense_is_refused(database, servers, filters, message):
    with pytest.raises(Invalid, match=message):
        listed(database, **filters)


def test_a_list_is_served_again_after_a_refused_one(database, servers):
    with pytest.raises(Invalid):
        listed(database, patterns={"name": "("})

    assert len(listed(database)) == 4


def test_a_marker_of_another_project_is_unknown(database, servers):
    with pytest.raises(Invalid):
        listed(database, project_id=PROJECT, marker=servers["theirs"].uuid)


def test_servers_not_yet_placed_come_first_when_sorted_by_host(database, servers):
    assert names(database, sort=(("host", "asc"),)) == ["db-2", "theirs", "web", "db-1"]
    assert names(database, sort=(("host", "desc"),)) == ["theirs", "db-2", "db-1", "web"]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize(
    "keys",
    [
        (), ("created_at",), ("display_name",), ("host",), ("task_state", "created_at"),
        ("launched_at", "host"), ("power_state", "uuid"), ("locked",), ("config_drive",),
        ("vm_state", "key_name", "display_description"), ("instance_type_id",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 3])
def test_pages_of_any_order_have_each_server_once(database, keys, direction, size):
    values = itertools.product(("h1", None), ("deleting", None), (NOON, None))
    add(database, *(
        make_instance(host=host, task_state=task, launched_at=launched, key_name=host,
                      name=f"{host}{task}", power_state=1 if task else 0)
        for host, task, launched in values for _ in range(2)
    ))  # fmt: skip
    sort = tuple((key, direction) for key in keys)
    whole = [server.uuid for server in listed(database, sort=sort)]

    paged = []
    while page := listed(database, sort=sort, limit=size, marker=paged[-1] if paged else None):
        paged += [server.uuid for server in page]

    assert len(whole) == 16
    assert paged == whole


def test_mixed_directions_page_as_they_sort(database):
    add(database, *(make_instance(name=n, host=h) for n in "ab" for h in ("x", "y", None)))
    sort = (("display_name", "asc"), ("host", "desc"))

    first = listed(database, sort=sort, limit=2)
    rest = listed(database, sort=sort, marker=first[-1].uuid)

    found = [(server.name, server.host) for server in (*first, *rest)]
    assert found == [(n, h) for n in "ab" for h in (None, "y", "x")]


def test_listing_servers_costs_the_same_for_one_or_a_thousand(database, queries):
    made = add(database, *(make_instance(name=f"s{n}") for n in range(1000)))

    with queries.at_most(1):
        whole = listed(database, limit=1000)
    with queries.at_most(2):
        rest = listed(database, limit=1000, marker=made[500].uuid)

    assert len(whole) == 1000
    assert len(rest) == 500


def test_a_brief_list_has_what_links_need(database, servers):
    brief = listed(database, brief=True, limit=1)[0]

    assert (brief.uuid, brief.name) == (servers["theirs"].uuid, "theirs")
    assert brief.vifs == ()


def test_a_statement_that_takes_too_long_is_given_up(database):
    slow = "SET LOCAL statement_timeout = 50; SELECT pg_sleep(5)"

    with pytest.raises(Unavailable), database.begin() as conn:
        conn.exec_driver_sql(slow)

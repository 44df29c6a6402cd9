# SPDX-License-Identifier: Apache-2.0
"""Lists of volumes: filters, order, pages; and versions of the API."""

from urllib.parse import urlsplit

import pytest
from sqlalchemy import event

from tests.unit.companion.volumes import (
    V3,
    at,
    attach,
    create,
    image,
    request_volume,
    show,
    snapshot,
)


def names(answer):
    assert answer.status_code == 200, answer.text
    return [volume["name"] for volume in answer.json["volumes"]]


@pytest.fixture(scope="module")
def three(module_cloud):
    return with_three(module_cloud)


def with_three(cloud):
    source = image(cloud, b"x", os_distro="debian")
    for n, name in enumerate(("alpha", "beta", "gamma")):
        more = {"imageRef": source["id"]} if n == 1 else {}
        create(cloud, name=name, size=n + 1, metadata={"n": str(n), "it's": 'a "b"'}, **more)
        cloud.clock.advance(10)
    return cloud


@pytest.mark.parametrize(("query", "expected"), [
    ("", ["gamma", "beta", "alpha"]), ("name=beta", ["beta"]), ("status=available", 3),
    ("status=error", []), ("sort=name:asc", ["alpha", "beta", "gamma"]),
    ("sort=size:desc,name", ["gamma", "beta", "alpha"]), ("sort=name", ["gamma", "beta", "alpha"]),
    ("sort_key=size&sort_dir=asc", ["alpha", "beta", "gamma"]), ("size=2", ["beta"]),
    ("bootable=true", ["beta"]), ("bootable=0", ["gamma", "alpha"]), ("limit=1", ["gamma"]),
    ("limit=0", []), ("offset=1", ["beta", "alpha"]), ("limit=1&offset=2", ["alpha"]),
    ("metadata={'n': '1'}", ["beta"]), ('metadata={"n": "2"}', ["gamma"]),
    ("""metadata={"it's": 'a "b"', 'n': '0'}""", ["alpha"]), ("metadata={'n': '7'}", []),
    ("glance_metadata={'os_distro': 'debian'}", ["beta"]), ("name~=a", 3), ("name~=et", ["beta"]),
    ("name~=%25", []), ("created_at=gt:2026-01-01T00:00:05", ["gamma", "beta"]),
    ("created_at=gte:2026-01-01T00:00:10,lt:2026-01-01T00:00:20", ["beta"]),
    ("created_at=2026-01-01", ["alpha"]), ("volume_type=__DEFAULT__", 3), ("multiattach=false", 3),
    ("availability_zone=nova", 3), ("consumes_quota=false", []), ("all_tenants=True", 3),
])  # fmt: skip
def test_filters_order_and_pages(three, query, expected):
    found = names(three.get(f"{V3}/volumes/detail?{query}", user="demo", headers=at("3.71")))

    assert (len(found) if isinstance(expected, int) else found) == expected


@pytest.mark.parametrize("query", [
    "limit=-1", "limit=x", "limit=99999999999", "offset=-5", "offset=1e3", "sort=nothing",
    "sort=name:sideways", "sort=name&sort_key=name", "sort_key=user_id;x", "bootable=maybe",
    "metadata=5", "metadata={'a'", "metadata=" + "[" * 900, "created_at=yesterday", "unknown=1",
    "nothing~=x", "with_count=perhaps", "metadata={'k': __import__('os')}",
])  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(three, query):
    answer = three.get(f"{V3}/volumes?{query}", user="demo", headers=at("3.71"))

    assert answer.status_code == 400
    assert "badRequest" in answer.json


def test_before_3_31_unknown_filters_filter_nothing(three):
    assert len(names(three.get(f"{V3}/volumes?unknown=1&name~=x", user="demo"))) == 3


def test_a_marker_that_is_nowhere_is_not_found(three):
    assert three.get(f"{V3}/volumes?marker=nothing", user="demo").status_code == 404


def test_links_lead_through_all_pages(three):
    project = three.project_id("demo")
    path, found = f"{V3}/{project}/volumes/detail?limit=2&sort=name:asc", []

    while path:
        page = three.get(path, user="demo").json
        found.append([volume["name"] for volume in page["volumes"]])
        link = page.get("volumes_links", [{}])[0].get("href")
        path = link and f"{urlsplit(link).path}?{urlsplit(link).query}"

    assert found == [["alpha", "beta"], ["gamma"]]


def test_a_count_is_of_all_that_match(three):
    listed = three.get(f"{V3}/volumes?limit=1&with_count=true&bootable=false", user="demo",
                       headers=at("3.45")).json  # fmt: skip

    assert (listed["count"], len(listed["volumes"])) == (2, 1)


def test_administrators_choose_the_project_of_a_list(cloud):
    with_three(cloud)
    request_volume(cloud, "admin", name="own")
    cloud.settle()
    demo = cloud.project_id("demo")

    assert len(names(cloud.get(f"{V3}/volumes?all_tenants=1"))) == 4
    assert len(names(cloud.get(f"{V3}/volumes?all_tenants=1&project_id={demo}"))) == 3
    assert names(cloud.get(f"{V3}/volumes?project_id={demo}")) == ["own"]


def test_a_list_of_many_costs_as_many_statements_as_one_of_few(cloud):
    def statements(volumes):
        for _ in range(volumes):
            create(cloud)
        seen = []

        def note(_conn, _cursor, statement, *_more):
            seen.append(statement)

        event.listen(cloud.companion.store._engine, "before_cursor_execute", note)
        cloud.get(f"{V3}/volumes/detail", user="demo")
        event.remove(cloud.companion.store._engine, "before_cursor_execute", note)
        return len(seen)

    assert statements(1) == statements(8)


# --- versions --------------------------------------------------------------------------------


def test_version_documents_need_no_token(cloud):
    root = cloud.get("/volume/", user=None)
    one = cloud.get("/volume/v3/", user=None)

    assert (root.status_code, one.status_code) == (300, 200)
    [version] = root.json["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.71")
    assert version["links"][-1] == {"rel": "self", "href": "http://c.test/volume/v3/"}


@pytest.mark.parametrize(("asked", "answered"), [
    ({}, "3.0"), (at("3.27"), "3.27"), (at("latest"), "3.71"), (at("3.71"), "3.71"),
    ({"OpenStack-API-Version": "block-storage 3.5"}, "3.5"),
    ({"OpenStack-API-Version": "compute 2.90, volume 3.44"}, "3.44"),
    ({"OpenStack-API-Version": "compute 2.90"}, "3.0"),
])  # fmt: skip
def test_every_answer_says_its_version(cloud, asked, answered):
    for path, code in (("volumes", 200), ("volumes/nothing", 404), ("nothing", 404)):
        answer = cloud.get(f"{V3}/{path}", user="demo", headers=asked)
        assert answer.status_code == code
        assert answer.headers["OpenStack-API-Version"] == f"volume {answered}"
        assert answer.headers["Vary"] == "OpenStack-API-Version"
        assert answer.headers["X-Openstack-Request-Id"].startswith("req-")


@pytest.mark.parametrize(("version", "code"), [
    ("3.72", 406), ("3.999", 406), ("2.0", 406), ("4.0", 406), ("3", 400), ("x", 400), ("", 400),
    ("3.01", 400), ("3.1.1", 400), ("9" * 100, 400),
])  # fmt: skip
def test_a_version_that_is_none_of_ours_is_refused(cloud, version, code):
    refused = cloud.get(f"{V3}/volumes", user="demo", headers=at(version))

    assert refused.status_code == code
    [(kind, body)] = refused.json.items()
    assert (kind, body["code"]) == ({406: "computeFault", 400: "badRequest"}[code], code)


@pytest.mark.parametrize(("version", "there", "missing"), [
    ("3.0", {"consistencygroup_id"}, {"group_id", "provider_id", "volume_type_id"}),
    ("3.13", {"group_id"}, {"provider_id", "service_uuid"}),
    ("3.21", {"provider_id"}, {"shared_targets"}),
    ("3.48", {"service_uuid", "shared_targets"}, {"cluster_name"}),
    ("3.61", {"cluster_name"}, {"volume_type_id"}),
    ("3.63", {"volume_type_id"}, {"consumes_quota"}),
    ("3.65", {"consumes_quota", "volume_type_id"}, {"encryption_key_id"}),
])  # fmt: skip
def test_fields_come_with_their_versions(cloud, version, there, missing):
    volume = show(cloud, create(cloud)["id"], version=version)

    assert there <= set(volume)
    assert not missing & set(volume)


def test_what_is_for_administrators_stays_theirs(cloud):
    volume = show(cloud, create(cloud)["id"], user="demo", version="3.71")

    assert not {"provider_id", "cluster_name", "os-vol-mig-status-attr:migstat"} & set(volume)
    assert volume["os-vol-tenant-attr:tenant_id"] == cloud.project_id("demo")


def test_snapshots_fields_come_with_their_versions(cloud):
    taken = snapshot(cloud, create(cloud))
    path = f"{V3}/snapshots/{taken['id']}"

    old = cloud.get(path, headers=at("3.13")).json["snapshot"]
    new = cloud.get(path, headers=at("3.65")).json["snapshot"]

    assert set(new) - set(old) == {"group_snapshot_id", "user_id", "consumes_quota"}


@pytest.mark.parametrize(("method", "path", "version"), [
    ("GET", "attachments", "3.26"), ("GET", "messages", "3.2"), ("GET", "default-types", "3.61"),
    ("GET", "volumes/summary", "3.11"),
])  # fmt: skip
def test_what_is_newer_is_not_found(cloud, method, path, version):
    assert cloud.request(method, f"{V3}/{path}", headers=at(version)).status_code == 404


def test_attachments_show_once_they_are_complete(cloud):
    volume = create(cloud)
    attachment = attach(cloud, volume, "server-1")

    [seen] = show(cloud, volume["id"], user="demo")["attachments"]
    [by_admin] = show(cloud, volume["id"])["attachments"]

    assert seen == {"id": volume["id"], "volume_id": volume["id"], "server_id": "server-1",
                    "attachment_id": attachment["id"], "device": "/dev/vdb", "host_name": None,
                    "attached_at": "2026-01-01T00:00:00.000000"}  # fmt: skip
    assert by_admin["host_name"] == "h1"


def test_a_path_that_leaves_a_name_out_means_nothing(cloud):
    create(cloud)

    for method in ("GET", "PUT", "DELETE"):
        assert cloud.request(method, f"{V3}/volumes/", user="demo").status_code == 404
    assert len(cloud.get(f"{V3}/volumes", user="demo").json["volumes"]) == 1


@pytest.mark.parametrize(("path", "key"), [
    ("os-availability-zone", "availabilityZoneInfo"), ("os-services", "services"),
    ("scheduler-stats/get_pools?detail=true", "pools"), ("extensions", "extensions"),
    ("extensions/os-quota-sets", "extension"), ("capabilities/companion@local", "properties"),
])  # fmt: skip
def test_what_the_service_says_of_itself(cloud, path, key):
    assert cloud.get(f"{V3}/{path}", headers=at("3.71")).json[key] is not None


@pytest.mark.parametrize("path", [
    "os-services", "scheduler-stats/get_pools", "capabilities/companion@local",
    "os-quota-class-sets/default",
])  # fmt: skip
def test_what_is_for_operators_is_nobody_elses(cloud, path):
    assert cloud.get(f"{V3}/{path}", user="demo").status_code == 403

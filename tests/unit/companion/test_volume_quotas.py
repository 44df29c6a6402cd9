# SPDX-License-Identifier: Apache-2.0
"""What projects may have of volumes, kinds of volumes, and volumes that change hands."""

import pytest

from tests.unit.companion.volumes import (
    V3,
    act,
    at,
    create,
    image,
    messages,
    request_volume,
    show,
    snapshot,
    status,
    volume_settings,
)


def refusal(answer):
    assert answer.status_code == 413
    return answer.json["overLimit"]["message"]


def set_quota(cloud, **limits):
    path = f"{V3}/os-quota-sets/{cloud.project_id('demo')}"
    answer = cloud.put(path, {"quota_set": limits})
    assert answer.status_code == 200, answer.text
    return answer.json["quota_set"]


# --- quotas ----------------------------------------------------------------------------------


def test_the_defaults_are_the_configurations(cloud):
    demo = cloud.project_id("demo")
    cloud.restart(volume_settings(cloud.settings, quota_volumes=7, max_volume_gib=50))

    shown = cloud.get(f"{V3}/os-quota-sets/{demo}", user="demo").json["quota_set"]
    defaults = cloud.get(f"{V3}/os-quota-sets/{demo}/defaults", user="demo").json["quota_set"]

    assert (shown["volumes"], shown["gigabytes"], shown["snapshots"]) == (7, 1000, 10)
    assert (shown["per_volume_gigabytes"], shown["id"]) == (50, demo)
    assert defaults == shown
    assert shown["volumes___DEFAULT__"] == -1


def test_a_project_has_so_many_volumes_and_snapshots(cloud):
    set_quota(cloud, volumes=1, snapshots=1)
    volume = create(cloud)
    snapshot(cloud, volume)

    too_many = request_volume(cloud)
    body = {"snapshot": {"volume_id": volume["id"]}}
    one_more = cloud.post(f"{V3}/snapshots", body, user="demo")

    assert "Maximum number of volumes allowed (1)" in refusal(too_many)
    assert "Maximum number of snapshots allowed (1)" in refusal(one_more)
    cloud.delete(f"{V3}/volumes/{volume['id']}?cascade=true", user="demo")
    cloud.settle()
    create(cloud)


def test_volumes_snapshots_and_growth_share_the_gigabytes(cloud):
    set_quota(cloud, gigabytes=5)
    volume = create(cloud, size=2)
    snapshot(cloud, volume)

    refusals = (
        request_volume(cloud, size=2), act(cloud, volume, "os-extend", {"new_size": 4}),
        request_volume(cloud, source_volid=volume["id"], size=2),
    )  # fmt: skip

    for refused in refusals:
        assert "quota is 5G and 4G has been consumed" in refusal(refused)
    assert act(cloud, volume, "os-extend", {"new_size": 3}).status_code == 202


def test_a_volume_is_only_so_large(cloud):
    set_quota(cloud, per_volume_gigabytes=3)

    assert "larger than maximum allowed limit 3" in refusal(request_volume(cloud, size=4))
    volume = create(cloud, size=3)
    assert act(cloud, volume, "os-extend", {"new_size": 4}).status_code == 413


def test_a_type_has_limits_of_its_own(cloud):
    cloud.post(f"{V3}/types", {"volume_type": {"name": "gold"}})
    set_quota(cloud, volumes_gold=1)
    create(cloud, volume_type="gold")
    plain = create(cloud)

    assert "'volumes_gold'" in refusal(request_volume(cloud, volume_type="gold"))
    assert act(cloud, plain, "os-retype", {"new_type": "gold"}).status_code == 413


def test_usage_is_counted_from_what_is_there(cloud):
    demo = cloud.project_id("demo")
    volume = create(cloud, size=2)
    snapshot(cloud, volume)

    used = cloud.get(f"{V3}/os-quota-sets/{demo}?usage=True", user="demo").json["quota_set"]
    limits = cloud.get(f"{V3}/limits", user="demo").json["limits"]

    assert used["volumes"] == {"limit": 10, "in_use": 1, "reserved": 0}
    assert (used["gigabytes"]["in_use"], used["snapshots"]["in_use"]) == (4, 1)
    assert used["gigabytes___DEFAULT__"]["in_use"] == 4
    assert limits["rate"] == []
    assert limits["absolute"]["totalGigabytesUsed"] == 4
    assert limits["absolute"]["maxTotalVolumes"] == 10


def test_quotas_are_administrators_to_set(cloud):
    demo, admin = cloud.project_id("demo"), cloud.project_id("admin")
    path = f"{V3}/os-quota-sets/{demo}"
    body = {"quota_set": {"volumes": 5}}

    assert cloud.put(path, body, user="demo").status_code == 403
    assert cloud.get(f"{V3}/os-quota-sets/{admin}", user="demo").status_code == 403
    for wrong in ({"volumes": -2}, {"volumes": "x"}, {"nothing": 1}, {"volumes": None}):
        assert cloud.put(path, {"quota_set": wrong}).status_code == 400
    assert set_quota(cloud, volumes=5, tenant_id=demo)["volumes"] == 5
    assert cloud.delete(path).status_code == 200
    assert cloud.get(path).json["quota_set"]["volumes"] == 10


def test_the_default_class_is_for_those_without_their_own(cloud):
    path = f"{V3}/os-quota-class-sets/default"
    demo = cloud.project_id("demo")

    put = cloud.put(path, {"quota_class_set": {"volumes": 3, "snapshots": 4}})
    set_quota(cloud, snapshots=6)

    assert put.json["quota_class_set"]["volumes"] == 3
    shown = cloud.get(f"{V3}/os-quota-sets/{demo}").json["quota_set"]
    defaults = cloud.get(f"{V3}/os-quota-sets/{demo}/defaults").json["quota_set"]
    assert (shown["volumes"], shown["snapshots"], defaults["snapshots"]) == (3, 6, 4)


def test_limits_of_another_project_are_for_administrators_from_3_39(cloud):
    create(cloud)
    path = f"{V3}/limits?project_id={cloud.project_id('demo')}"

    def used(user, version):
        answer = cloud.get(path, user=user, headers=at(version))
        return answer.json["limits"]["absolute"]["totalVolumesUsed"]

    assert (used("admin", "3.39"), used("admin", "3.38")) == (1, 0)


# --- types -----------------------------------------------------------------------------------


def test_types_are_made_changed_and_deleted_by_administrators(cloud):
    body = {"volume_type": {"name": "gold", "description": "d", "extra_specs": {"a": "b"}}}

    made = cloud.post(f"{V3}/types", body)
    again = cloud.post(f"{V3}/types", body)
    by_user = cloud.post(f"{V3}/types", body, user="demo")
    path = f"{V3}/types/{made.json['volume_type']['id']}"
    changed = cloud.put(path, {"volume_type": {"name": "silver", "is_public": False}})
    deleted = cloud.delete(path)

    assert [a.status_code for a in (made, again, by_user)] == [200, 409, 403]
    assert made.json["volume_type"]["extra_specs"] == {"a": "b"}
    assert (changed.json["volume_type"]["name"], changed.json["volume_type"]["is_public"]) == (
        "silver", False,
    )  # fmt: skip
    assert deleted.status_code == 202
    assert cloud.get(path).status_code == 404


def test_a_type_that_volumes_have_and_the_default_stay(cloud):
    made = cloud.post(f"{V3}/types", {"volume_type": {"name": "gold"}}).json["volume_type"]
    create(cloud, volume_type="gold")
    default = cloud.get(f"{V3}/types/default").json["volume_type"]

    assert cloud.delete(f"{V3}/types/{made['id']}").status_code == 400
    assert cloud.delete(f"{V3}/types/{default['id']}").status_code == 400
    renamed = cloud.put(f"{V3}/types/{default['id']}", {"volume_type": {"name": "x"}})
    assert renamed.status_code == 400


def test_extra_specs_are_read_and_changed_by_key(cloud):
    made = cloud.post(f"{V3}/types", {"volume_type": {"name": "gold"}}).json["volume_type"]
    path = f"{V3}/types/{made['id']}/extra_specs"

    assert (
        cloud.post(path, {"extra_specs": {"a": "1", "multiattach": "<is> True"}}).status_code == 200
    )
    assert cloud.put(f"{path}/a", {"a": "2"}).json == {"a": "2"}
    assert cloud.put(f"{path}/a", {"b": "2"}).status_code == 400
    assert cloud.get(f"{path}/a").json == {"a": "2"}
    assert cloud.get(path, user="demo").json == {"extra_specs": {"multiattach": "<is> True"}}
    assert cloud.post(path, {"extra_specs": {"a": "3"}}, user="demo").status_code == 403
    assert cloud.delete(f"{path}/a").status_code == 202
    assert cloud.delete(f"{path}/a").status_code == 404


def test_a_private_type_is_for_those_who_are_let_in(cloud):
    _, eve = cloud.new_user("eve")
    made = cloud.post(f"{V3}/types", {"volume_type": {
        "name": "secret", "os-volume-type-access:is_public": False,
    }}).json["volume_type"]  # fmt: skip
    path = f"{V3}/types/{made['id']}"

    def names(user, query=""):
        found = cloud.get(f"{V3}/types{query}", user=user).json["volume_types"]
        return {each["name"] for each in found}

    before = names("eve"), request_volume(cloud, "eve", volume_type="secret").status_code
    opened = cloud.post(f"{path}/action", {"addProjectAccess": {"project": eve}})
    access = cloud.get(f"{path}/os-volume-type-access").json["volume_type_access"]
    after = names("eve"), request_volume(cloud, "eve", volume_type="secret").status_code
    closed = cloud.post(f"{path}/action", {"removeProjectAccess": {"project": eve}})
    again = cloud.post(f"{path}/action", {"removeProjectAccess": {"project": eve}})

    assert before == ({"__DEFAULT__"}, 404)
    assert (opened.status_code, after) == (202, ({"__DEFAULT__", "secret"}, 202))
    assert access == [{"volume_type_id": made["id"], "project_id": eve}]
    assert (closed.status_code, again.status_code) == (202, 404)
    assert names("admin") == {"__DEFAULT__"}
    assert names("admin", "?is_public=None") == {"__DEFAULT__", "secret"}
    assert names("admin", "?is_public=false") == {"secret"}


def test_a_project_has_a_default_type_of_its_own(cloud):
    cloud.post(f"{V3}/types", {"volume_type": {"name": "gold"}})
    demo = cloud.project_id("demo")
    path = f"{V3}/default-types/{demo}"

    put = cloud.put(path, {"default_type": {"volume_type": "gold"}}, headers=at("3.62"))
    volume = create(cloud)
    seen = cloud.get(f"{V3}/types/default", user="demo").json["volume_type"]["name"]
    deleted = cloud.delete(path, headers=at("3.62"))

    assert (put.status_code, deleted.status_code) == (200, 204)
    assert (volume["volume_type"], seen) == ("gold", "gold")
    assert create(cloud)["volume_type"] == "__DEFAULT__"
    assert cloud.get(path, headers=at("3.62")).status_code == 404


def test_a_type_that_no_storage_meets_ends_in_error_with_a_message(cloud):
    specs = {"volume_backend_name": "ceph"}
    cloud.post(f"{V3}/types", {"volume_type": {"name": "far", "extra_specs": specs}})

    volume = create(cloud, volume_type="far")

    assert volume["status"] == "error"
    assert "volume_backend_name=ceph" in messages(cloud)[0]


@pytest.mark.parametrize("specs", [
    {"volume_backend_name": "local"}, {"capabilities:storage_protocol": "<or> iSCSI <or> local"},
    {"multiattach": "<is> True"}, {"quality:speed": "slow"}, {"vendor_name": "<in> nova"},
])  # fmt: skip
def test_a_type_that_the_storage_meets_makes_volumes(cloud, specs):
    cloud.post(f"{V3}/types", {"volume_type": {"name": "near", "extra_specs": specs}})

    assert create(cloud, volume_type="near")["status"] == "available"


def test_an_image_may_name_the_type(cloud):
    cloud.post(f"{V3}/types", {"volume_type": {"name": "gold"}})
    source = image(cloud, b"x", cinder_img_volume_type="gold")

    assert create(cloud, imageRef=source["id"])["volume_type"] == "gold"
    assert create(cloud, imageRef=source["id"], volume_type="__DEFAULT__")["volume_type"] == (
        "__DEFAULT__"
    )


# --- messages --------------------------------------------------------------------------------


def test_messages_are_their_projects_to_read_and_delete(cloud):
    cloud.new_user("eve")
    cloud.post(f"{V3}/types", {"volume_type": {"name": "far", "extra_specs": {"x": "y"}}})
    volume = create(cloud, volume_type="far")
    [message] = cloud.get(f"{V3}/messages?resource_uuid={volume['id']}", user="demo",
                          headers=at("3.31")).json["messages"]  # fmt: skip
    path = f"{V3}/messages/{message['id']}"

    assert message["user_message"].startswith("create volume: no valid backend")
    assert (message["message_level"], message["resource_type"]) == ("ERROR", "VOLUME")
    assert message["request_id"].startswith("req-")
    assert cloud.get(path, user="eve", headers=at("3.3")).status_code == 404
    assert cloud.delete(path, user="demo", headers=at("3.3")).status_code == 204
    assert messages(cloud) == []


# --- transfers -------------------------------------------------------------------------------


@pytest.fixture
def offered(cloud):
    volume = create(cloud, name="gift")
    body = {"transfer": {"volume_id": volume["id"], "name": "t"}}
    made = cloud.post(f"{V3}/volume-transfers", body, user="demo", headers=at("3.57"))
    assert made.status_code == 202, made.text
    return volume, made.json["transfer"]


def test_a_volume_changes_hands_by_its_key(cloud, offered):
    volume, transfer = offered
    _, eve = cloud.new_user("eve")
    path = f"{V3}/os-volume-transfer/{transfer['id']}/accept"
    waiting = status(cloud, volume)

    wrong = cloud.post(path, {"accept": {"auth_key": "guess"}}, user="eve")
    taken = cloud.post(path, {"accept": {"auth_key": transfer["auth_key"]}}, user="eve")
    again = cloud.post(path, {"accept": {"auth_key": transfer["auth_key"]}}, user="eve")

    assert [a.status_code for a in (wrong, taken, again)] == [400, 202, 404]
    assert (waiting, status(cloud, volume)) == ("awaiting-transfer", "available")
    assert show(cloud, volume["id"])["os-vol-tenant-attr:tenant_id"] == eve
    assert cloud.get(f"{V3}/volumes/{volume['id']}", user="demo").status_code == 404


def test_an_offer_is_taken_back(cloud, offered):
    volume, transfer = offered
    path = f"{V3}/volume-transfers/{transfer['id']}"
    listed = cloud.get(f"{V3}/volume-transfers/detail", user="demo").json["transfers"]
    shown = cloud.get(path, user="demo", headers=at("3.57")).json["transfer"]

    deleted = cloud.delete(path, user="demo")

    assert [each["id"] for each in listed] == [transfer["id"]]
    assert (shown["accepted"], "auth_key" in shown) == (False, False)
    assert deleted.status_code == 202
    assert (status(cloud, volume), cloud.get(path, user="demo").status_code) == ("available", 404)


def test_the_takers_quota_counts(cloud, offered):
    volume, transfer = offered
    _, eve = cloud.new_user("eve")
    cloud.put(f"{V3}/os-quota-sets/{eve}", {"quota_set": {"volumes": 0}})

    refused = cloud.post(f"{V3}/volume-transfers/{transfer['id']}/accept",
                         {"accept": {"auth_key": transfer["auth_key"]}}, user="eve")  # fmt: skip

    assert refused.status_code == 413
    assert status(cloud, volume) == "awaiting-transfer"


def test_the_key_is_nowhere_in_the_store(cloud, offered):
    _, transfer = offered

    stored = b"".join(path.read_bytes() for path in cloud.settings.data_path.glob("companion.*"))

    assert transfer["auth_key"].encode() not in stored

# SPDX-License-Identifier: Apache-2.0
"""Shares: made, given to hosts, locked, deleted."""

from dataclasses import replace

import pytest

from services.companion.settings import ShareSettings

V2 = "/share/v2"
NEWEST = {"X-OpenStack-Manila-API-Version": "2.82"}
HOST = "10.0.0.1"


def at(version):
    return {"X-OpenStack-Manila-API-Version": version}


def get(cloud, path, user="demo", version="2.82"):
    return cloud.get(V2 + path, user=user, headers=at(version))


def request_share(cloud, user="demo", **attributes):
    body = {"share": {"share_proto": "NFS", "size": 1, **attributes}}
    return cloud.post(f"{V2}/shares", body, user=user, headers=NEWEST)


def create(cloud, user="demo", **attributes):
    """A share that is there; its id."""
    made = request_share(cloud, user, **attributes)
    assert made.status_code == 200, made.text
    assert made.json["share"]["status"] == "creating"
    cloud.settle()
    return made.json["share"]["id"]


def act(cloud, share_id, user="demo", version="2.82", **action):
    answer = cloud.post(f"{V2}/shares/{share_id}/action", action, user=user, headers=at(version))
    cloud.settle()
    return answer


def allow(cloud, share_id, user="demo", to=HOST, **more):
    """The id of a new access rule that holds."""
    answer = act(cloud, share_id, user, allow_access={"access_type": "ip", "access_to": to, **more})
    assert answer.status_code == 200, answer.text
    return answer.json["access"]["id"]


def deny(cloud, share_id, rule_id, user="demo", **more):
    return act(cloud, share_id, user, deny_access={"access_id": rule_id, **more}).status_code


def rules(cloud, share_id, user="demo"):
    return get(cloud, f"/share-access-rules?share_id={share_id}", user).json["access_list"]


def lock(cloud, resource_id, user="demo", **more):
    body = {"resource_lock": {"resource_id": resource_id, **more}}
    return cloud.post(f"{V2}/resource-locks", body, user=user, headers=NEWEST)


def folder(cloud):
    return cloud.settings.data_path / "shares"


def exported(cloud):
    """Which share may be mounted from where, and how, as the NFS server reads it."""
    found = {}
    for line in (folder(cloud) / "exports").read_text().splitlines():
        path, _, options = line.partition('" ')
        found[path.rpartition("/")[2], options.partition("(")[0]] = options.partition("(")[2][:2]
    return found


def test_a_share_is_a_folder_that_hosts_mount(cloud):
    share_id = create(cloud, name="s", description="d", size=3, metadata={"a": "b"})

    share = get(cloud, f"/shares/{share_id}").json["share"]
    [location] = get(cloud, f"/shares/{share_id}/export_locations").json["export_locations"]
    assert (share["status"], share["share_proto"], share["size"]) == ("available", "NFS", 3)
    assert (share["name"], share["description"], share["metadata"]) == ("s", "d", {"a": "b"})
    assert share["project_id"] == cloud.project_id("demo")
    assert share["share_type_name"] == "default"
    assert location["path"] == f"127.0.0.1:{folder(cloud) / share_id}"
    assert location["preferred"] is True
    assert (folder(cloud) / share_id).is_dir()
    shown = get(cloud, f"/shares/{share_id}/export_locations/{location['id']}", "admin")
    assert shown.json["export_location"]["is_admin_only"] is False


@pytest.mark.parametrize("wrong", [
    {"share_proto": "CIFS"}, {"share_proto": None}, {"size": 0}, {"size": "much"},
    {"share_type": "other"}, {"snapshot_id": "x"}, {"share_network_id": "x"}, {"metadata": []},
    {"is_public": "perhaps"}, {"name": 5},
])  # fmt: skip
def test_what_cannot_be_made_is_refused(cloud, wrong):
    assert request_share(cloud, **wrong).status_code == 400


def test_a_project_has_so_many_shares(cloud):
    cloud.restart(replace(cloud.settings, shares=ShareSettings(quota_shares=1)))
    create(cloud)

    assert request_share(cloud).status_code == 413
    create(cloud, "admin")


def test_a_share_is_found_by_its_project_alone_unless_it_is_public(cloud):
    cloud.new_user("stranger")
    cloud.new_user("reader", cloud.project_id("demo"), "reader")
    private, public = create(cloud, name="private"), create(cloud, name="public", is_public=True)

    def names(user, query=""):
        return {s["name"] for s in get(cloud, f"/shares{query}", user).json["shares"]}

    assert names("demo") == names("reader") == {"private", "public"}
    assert names("demo", "?name=public") == {"public"}
    assert names("demo", "?name~=riv") == {"private"}
    assert names("admin") == names("stranger") == names("stranger", "?all_tenants=1") == set()
    assert names("admin", "?all_tenants=1") == {"private", "public"}
    assert names("stranger", "?is_public=true") == {"public"}
    assert names("demo", "?is_soft_deleted=True") == set()
    assert get(cloud, f"/shares/{private}", "stranger").status_code == 404
    assert get(cloud, f"/shares/{public}", "stranger").status_code == 200
    rules_of_it = get(cloud, f"/share-access-rules?share_id={public}", "stranger")
    assert rules_of_it.status_code == 403
    for user, share_id, status in (
        ("stranger", private, 404), ("stranger", public, 403), ("reader", private, 403),
    ):  # fmt: skip
        path = f"{V2}/shares/{share_id}"
        assert cloud.delete(path, user=user).status_code == status
        assert cloud.put(path, {"share": {"name": "x"}}, user=user).status_code == status
        assert act(cloud, share_id, user, allow_access={
            "access_type": "ip", "access_to": HOST}).status_code == status  # fmt: skip
        assert lock(cloud, share_id, user).status_code == status


def test_lists_have_pages_and_an_order(cloud):
    for name in ("b", "a", "c"):
        create(cloud, name=name)
        cloud.clock.advance(1)

    def names(query):
        answer = get(cloud, f"/shares/detail?{query}").json
        return "".join(s["name"] for s in answer["shares"]), answer.get("count")

    assert names("") == ("cab", None)
    assert names("sort_key=name&sort_dir=asc&limit=2&offset=1&with_count=1") == ("bc", 3)
    assert get(cloud, "/shares?sort_key=nothing").status_code == 400
    assert get(cloud, "/shares?limit=-1").status_code == 400


def test_a_share_gets_another_name(cloud):
    share_id = create(cloud, name="old")

    body = {"share": {"display_name": "new", "is_public": True}}
    cloud.put(f"{V2}/shares/{share_id}", body, user="demo")

    share = get(cloud, f"/shares/{share_id}").json["share"]
    assert (share["name"], share["is_public"]) == ("new", True)


# --- access ----------------------------------------------------------------------------------


def test_who_is_let_in_may_mount_it_until_denied(cloud):
    share_id, other = create(cloud), create(cloud)
    rule = allow(cloud, share_id)
    allow(cloud, share_id, to="192.0.2.0/24", access_level="ro")
    allow(cloud, other, to="fd00::1")

    assert {r["state"] for r in rules(cloud, share_id)} == {"active"}
    assert exported(cloud) == {
        (share_id, HOST): "rw", (share_id, "192.0.2.0/24"): "ro", (other, "fd00::1"): "rw",
    }  # fmt: skip
    again = act(cloud, share_id, allow_access={"access_type": "ip", "access_to": HOST})
    assert again.status_code == 400
    assert deny(cloud, other, rule) == 404

    assert deny(cloud, share_id, rule) == 202
    assert cloud.delete(f"{V2}/shares/{other}", user="demo").status_code == 202
    cloud.settle()

    assert get(cloud, f"/share-access-rules/{rule}").status_code == 404
    assert exported(cloud) == {(share_id, "192.0.2.0/24"): "ro"}


@pytest.mark.parametrize("wrong", [
    {"access_type": "user"}, {"access_to": "host"}, {"access_to": "fe80::1%x *(rw)"},
    {"access_level": "all"}, {"access_to": None}, {"lock_reason": 5},
])  # fmt: skip
def test_nobody_else_is_let_in(cloud, wrong):
    share_id = create(cloud)

    answer = act(cloud, share_id, allow_access={"access_type": "ip", "access_to": HOST, **wrong})

    assert answer.status_code == 400
    assert rules(cloud, share_id) == []


def test_the_nfs_server_is_told(cloud, tmp_path):
    script = tmp_path / "told"
    command = ("sh", "-c", f"cat {folder(cloud)}/exports >> {script}")
    cloud.restart(replace(cloud.settings, shares=ShareSettings("nfs.test", command)))
    share_id = create(cloud)

    allow(cloud, share_id)

    assert f'/shares/{share_id}" {HOST}(rw,all_squash,' in script.read_text()
    [location] = get(cloud, f"/shares/{share_id}/export_locations").json["export_locations"]
    assert location["path"].startswith("nfs.test:/")


def test_a_rule_that_the_nfs_server_did_not_hear_of_shows_it(cloud):
    cloud.restart(replace(cloud.settings, shares=ShareSettings(export_command=("false",))))
    share_id = create(cloud)

    rule = allow(cloud, share_id)

    assert get(cloud, f"/share-access-rules/{rule}").json["access"]["state"] == "error"


def test_older_versions_list_rules_by_an_action(cloud):
    share_id = create(cloud)
    rule = allow(cloud, share_id)

    [found] = act(cloud, share_id, version="2.44", access_list=None).json["access_list"]

    assert found["id"] == rule
    assert act(cloud, share_id, version="2.45", access_list=None).status_code == 400
    assert get(cloud, f"/share-access-rules/{rule}", version="2.44").status_code == 404
    assert get(cloud, "/share-access-rules").status_code == 400


# --- locks -----------------------------------------------------------------------------------


def test_a_locked_share_is_not_deleted(cloud):
    share_id = create(cloud)
    held = lock(cloud, share_id, "kilonova", lock_reason="in use").json["resource_lock"]
    path = f"{V2}/resource-locks/{held['id']}"

    refused = cloud.delete(f"{V2}/shares/{share_id}", user="demo")
    theirs = cloud.delete(path, user="demo", headers=NEWEST)

    assert refused.status_code == 409
    assert held["id"] in refused.json["conflictingRequest"]["message"]
    assert theirs.status_code == 403
    assert held["lock_context"] == "service"
    [seen] = get(cloud, f"/resource-locks?resource_id={share_id}").json["resource_locks"]
    assert seen == held
    assert get(cloud, f"/resource-locks/{held['id']}").json["resource_lock"] == held
    everybody = get(cloud, "/resource-locks?all_projects=True&with_count=1", "kilonova").json
    assert (everybody["resource_locks"], everybody["count"]) == ([held], 1)

    assert cloud.delete(path, user="kilonova", headers=NEWEST).status_code == 204
    assert cloud.delete(f"{V2}/shares/{share_id}", user="demo").status_code == 202
    cloud.settle()
    assert get(cloud, f"/shares/{share_id}").status_code == 404
    assert not (folder(cloud) / share_id).exists()


def test_a_lock_is_its_makers_and_of_those_above(cloud):
    cloud.new_user("friend", cloud.project_id("demo"))
    cloud.new_user("stranger")
    held = lock(cloud, create(cloud)).json["resource_lock"]
    path = f"{V2}/resource-locks/{held['id']}"
    body = {"resource_lock": {"lock_reason": "mine"}}

    def change(user):
        return cloud.put(path, body, user=user, headers=NEWEST).status_code

    assert [change(u) for u in ("stranger", "friend", "demo", "admin")] == [404, 403, 200, 200]
    assert (
        get(cloud, f"/resource-locks/{held['id']}").json["resource_lock"]["lock_reason"] == "mine"
    )
    assert cloud.delete(path, user="friend", headers=NEWEST).status_code == 403
    assert cloud.delete(path, user="demo", headers=NEWEST).status_code == 204


@pytest.mark.parametrize("wrong", [
    {"resource_action": "show"}, {"resource_action": "eat"}, {"resource_type": "server"},
    {"lock_reason": 5}, {"resource_id": 5},
])  # fmt: skip
def test_nothing_else_is_locked(cloud, wrong):
    share_id = create(cloud)

    assert lock(cloud, **{"resource_id": share_id, **wrong}).status_code == 400


def test_locks_are_of_later_versions(cloud):
    share_id = create(cloud)

    assert get(cloud, "/resource-locks", version="2.80").status_code == 404
    assert get(cloud, f"/resource-locks?resource_id={share_id}", version="2.81").status_code == 200


def test_a_locked_rule_is_neither_seen_nor_denied_by_others(cloud):
    share_id = create(cloud)
    rule = allow(cloud, share_id, "kilonova", lock_visibility=True, lock_deletion=True)

    [theirs], [ours] = rules(cloud, share_id), rules(cloud, share_id, "kilonova")

    assert (theirs["access_to"], ours["access_to"]) == ("******", HOST)
    shown = get(cloud, f"/share-access-rules/{rule}").json["access"]
    assert shown["access_to"] == "******"
    assert deny(cloud, share_id, rule) == 403
    assert deny(cloud, share_id, rule, unrestrict=True) == 403
    assert deny(cloud, share_id, rule, "kilonova") == 403
    assert deny(cloud, share_id, rule, "kilonova", unrestrict=True) == 202
    assert rules(cloud, share_id) == []
    assert get(cloud, "/resource-locks").json["resource_locks"] == []


def test_a_user_locks_a_rule_of_the_own_share(cloud):
    share_id = create(cloud)
    rule = allow(cloud, share_id)

    held = lock(cloud, rule, resource_type="access_rule").json["resource_lock"]

    assert deny(cloud, share_id, rule) == 403
    cloud.delete(f"{V2}/resource-locks/{held['id']}", user="demo", headers=NEWEST)
    assert deny(cloud, share_id, rule) == 202


# --- what the service says of itself ---------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/share", 300), ("/share/v2", 200)])
def test_its_versions_need_no_token(cloud, path, status):
    answer = cloud.get(path, user=None, headers=at("2.99"))

    [version] = answer.json["versions"]
    assert answer.status_code == status
    assert (version["min_version"], version["version"]) == ("2.9", "2.82")


@pytest.mark.parametrize(("asked", "status", "answered"), [
    ("2.9", 200, "2.9"), ("latest", 200, "2.82"), ("2.8", 406, "2.9"), ("2.83", 406, "2.9"),
    ("3.0", 406, "2.9"), ("new", 400, "2.9"),
])  # fmt: skip
def test_a_version_is_agreed_upon(cloud, asked, status, answered):
    answer = get(cloud, "/shares", version=asked)

    assert answer.status_code == status
    assert answer.headers["X-OpenStack-Manila-API-Version"] == answered


def test_there_is_one_type(cloud):
    [listed] = get(cloud, "/types").json["share_types"]

    assert get(cloud, "/types/default").json["share_type"] == listed
    assert get(cloud, f"/types/{listed['id']}").json["share_type"] == listed
    assert get(cloud, "/types/x").status_code == 404
    assert listed["is_default"] is True


def test_what_a_killed_companion_began_goes_on(cloud):
    cloud.companion.jobs.stop()
    made = request_share(cloud).json["share"]["id"]
    cloud.restart()
    cloud.settle()

    assert get(cloud, f"/shares/{made}").json["share"]["status"] == "available"


def test_strange_requests_are_refused_in_the_services_own_form(cloud):
    share_id = create(cloud)
    json = {"Content-Type": "application/json", **NEWEST}
    for path in ("shares", f"shares/{share_id}/action", "resource-locks"):
        for body in (
            b"", b"{", b"null", b"[]", b'"text"', b"\xff", b"[" * 50_000, b'{"share": []}',
            b'{"share": {"share_proto": [], "size": 1}}', b'{"allow_access": []}',
            b'{"share": {"share_proto": "NFS", "size": 1e999}}', b'{"deny_access": {}}',
            b'{"allow_access": {"access_type": "ip", "access_to": {}}}',
            b'{"resource_lock": {"resource_id": null}}',
        ):  # fmt: skip
            answer = cloud.request("POST", f"{V2}/{path}", user="demo", body=body, headers=json)
            assert (answer.status_code, [*answer.json]) == (400, ["badRequest"]), (path, body)
    for query in ("name=%00", "limit=9e9", "sort_key=id;x", "offset=%00", "name~=%25", "a=b&a=c"):
        assert get(cloud, f"/shares/detail?{query}").status_code in (200, 400), query
    for item in ("%00", "%ff", "x" * 5000, "%27--"):
        for path in ("/shares/{}", "/types/{}", "/share-access-rules/{}", "/resource-locks/{}"):
            assert get(cloud, path.format(item)).status_code == 404, (path, item)
    for path in ("/nothing", "/shares/", "/shares/x/nothing"):
        assert [*get(cloud, path).json] == ["itemNotFound"], path
    for path in ("/shares", "/resource-locks", "/types"):
        assert cloud.get(V2 + path, user=None).status_code == 401, path

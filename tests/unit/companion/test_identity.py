# SPDX-License-Identifier: Apache-2.0
"""Identity: tokens, roles and what belongs to whom."""

import pytest

from services.companion.identity.bootstrap import bootstrap
from services.companion.identity.passwords import Hasher
from services.companion.settings import Bootstrap, Passwords
from tests.unit.companion.conftest import CHEAP, ENDPOINTS, PASSWORDS, project_scope

V3 = "/identity/v3"


def test_a_project_token_names_user_project_roles_and_every_service(cloud):
    made = cloud.login("admin", "admin-pw", project_scope("admin"))

    token = made.json["token"]
    assert made.status_code == 201
    assert token["user"]["name"] == "admin"
    assert token["project"]["name"] == "admin"
    assert {role["name"] for role in token["roles"]} >= {"admin", "manager", "member", "reader"}
    assert {service["type"] for service in token["catalog"]} == set(ENDPOINTS)
    [network] = [s for s in token["catalog"] if s["type"] == "network"]
    assert {e["interface"] for e in network["endpoints"]} == {"public", "internal", "admin"}
    assert {e["url"] for e in network["endpoints"]} == {ENDPOINTS["network"]}


@pytest.mark.parametrize(("scope", "key"), [
    ({"system": {"all": True}}, "system"), ({"domain": {"id": "default"}}, "domain"),
])  # fmt: skip
def test_an_administrator_gets_tokens_for_system_and_domain(cloud, scope, key):
    made = cloud.login("admin", "admin-pw", scope)

    assert made.status_code == 201
    assert key in made.json["token"]
    assert "project" not in made.json["token"]


def test_a_token_without_scope_has_no_roles_and_no_catalogue(cloud):
    made = cloud.login("demo", "demo-pw")

    assert made.status_code == 201
    assert not {"project", "roles", "catalog"} & set(made.json["token"])


@pytest.mark.parametrize(("name", "password", "scope"), [
    ("admin", "wrong", project_scope("admin")), ("nobody", "admin-pw", project_scope("admin")),
    ("demo", "demo-pw", project_scope("admin")), ("demo", "demo-pw", {"system": {"all": True}}),
    ("demo", "demo-pw", project_scope("missing")), ("admin", "x" * 10_000, None),
])  # fmt: skip
def test_whatever_is_wrong_a_stranger_only_learns_that_it_is(cloud, name, password, scope):
    made = cloud.login(name, password, scope)

    assert made.status_code == 401
    assert made.json["error"]["message"] == "The request you have made requires authentication."
    assert made.headers["WWW-Authenticate"].startswith("Keystone uri=")


def test_a_token_is_exchanged_for_another_scope_but_lives_no_longer(cloud):
    first = cloud.login("demo", "demo-pw")
    cloud.clock.advance(100)
    auth = {"identity": {"methods": ["token"], "token": {"id": first.headers["X-Subject-Token"]}},
            "scope": project_scope("demo")}  # fmt: skip

    second = cloud.post(f"{V3}/auth/tokens", {"auth": auth}, user=None)

    assert second.status_code == 201
    assert second.json["token"]["methods"] == ["password", "token"]
    assert second.json["token"]["expires_at"] == first.json["token"]["expires_at"]


def test_a_service_validates_users_tokens_also_for_a_while_after_their_end(cloud):
    subject = {"X-Subject-Token": cloud.token("demo")}
    valid = cloud.get(f"{V3}/auth/tokens", user="kilonova", headers=subject)
    cloud.clock.advance(cloud.settings.token_lifetime_s + 1)
    cloud.tokens.pop("kilonova")

    expired = cloud.get(f"{V3}/auth/tokens", user="kilonova", headers=subject)
    allowed = cloud.get(f"{V3}/auth/tokens?allow_expired=1", user="kilonova", headers=subject)

    assert valid.json["token"]["user"]["name"] == "demo"
    assert expired.status_code == 404
    assert allowed.json["token"]["user"]["name"] == "demo"


def test_users_do_not_validate_tokens_of_others(cloud):
    subject = {"X-Subject-Token": cloud.token("admin")}

    assert cloud.get(f"{V3}/auth/tokens", user="demo", headers=subject).status_code == 403
    assert cloud.delete(f"{V3}/auth/tokens", user="demo", headers=subject).status_code == 403


def test_a_revoked_token_is_worth_nothing(cloud):
    token = cloud.token("demo")
    gone = cloud.delete(f"{V3}/auth/tokens", user="demo", headers={"X-Subject-Token": token})

    assert gone.status_code == 204
    assert cloud.get(f"{V3}/auth/catalog", token=token).status_code == 401


def test_taking_the_role_away_takes_the_token_with_it(cloud):
    user, project = cloud.new_user("eve")
    grant = f"{V3}/projects/{project}/users/{user}/roles/{cloud.role_id('member')}"
    before = cloud.get(f"{V3}/auth/projects", user="eve").status_code

    cloud.delete(grant)

    assert before == 200
    assert cloud.get(f"{V3}/auth/projects", user="eve").status_code == 401


@pytest.mark.parametrize("change", [{"enabled": False}, {"password": "another"}])
def test_disabling_a_user_or_a_new_password_ends_the_tokens(cloud, change):
    user, _ = cloud.new_user("eve")

    assert cloud.patch(f"{V3}/users/{user}", {"user": change}).status_code == 200

    assert cloud.get(f"{V3}/auth/projects", user="eve").status_code == 401
    assert cloud.login("eve", "pw").status_code == 401


def test_users_change_their_own_password_by_naming_the_old_one(cloud):
    user, _ = cloud.new_user("eve")
    wrong = {"user": {"original_password": "no", "password": "next"}}
    right = {"user": {"original_password": "pw", "password": "next"}}

    assert cloud.post(f"{V3}/users/{user}/password", wrong, user=None).status_code == 401
    assert cloud.post(f"{V3}/users/{user}/password", right, user=None).status_code == 204
    assert cloud.login("eve", "next").status_code == 201


@pytest.mark.parametrize(("plural", "singular", "body"), [
    ("projects", "project", {"name": "p", "description": "d"}),
    ("users", "user", {"name": "u", "password": "x", "email": "u@example.org"}),
    ("roles", "role", {"name": "r"}), ("domains", "domain", {"name": "d", "enabled": False}),
    ("regions", "region", {"id": "RegionTwo"}), ("services", "service", {"type": "t", "name": "n"}),
])  # fmt: skip
def test_a_resource_is_created_found_changed_and_deleted(cloud, plural, singular, body):
    made = cloud.post(f"{V3}/{plural}", {singular: body})
    item = made.json[singular]
    path = f"{V3}/{plural}/{item['id']}"
    changed = cloud.patch(path, {singular: {"description": "new", "colour": "blue"}})

    assert made.status_code == 201
    assert item["links"]["self"] == f"http://c.test{path}"
    assert "password" not in item
    assert cloud.get(path).json[singular]["description"] == "new"
    assert changed.json[singular]["colour"] == "blue"
    assert item["id"] in [i["id"] for i in cloud.get(f"{V3}/{plural}").json[plural]]
    assert cloud.delete(path).status_code == 204
    assert cloud.get(path).status_code == 404


def test_names_are_unique_in_their_domain(cloud):
    again = cloud.post(f"{V3}/projects", {"project": {"name": "demo"}})

    assert again.status_code == 409
    assert again.json["error"]["title"] == "Conflict"


@pytest.mark.parametrize("plural", ["users", "projects", "domains"])
def test_ordinary_users_see_themselves_only(cloud, plural):
    cloud.new_user("eve")

    seen = cloud.get(f"{V3}/{plural}", user="demo").json[plural]

    assert len(seen) == 1
    other = cloud.project_id("admin") if plural == "projects" else cloud.user_id("eve")
    assert cloud.get(f"{V3}/{plural}/{other}", user="demo").status_code == 403


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "projects", {"project": {"name": "x"}}), ("POST", "users", {"user": {"name": "x"}}),
    ("GET", "roles", None), ("GET", "services", None), ("GET", "role_assignments", None),
    ("DELETE", "regions/RegionOne", None), ("PATCH", "domains/default", {"domain": {}}),
])  # fmt: skip
def test_the_cloud_is_the_administrators_business(cloud, method, path, body):
    answer = cloud.request(method, f"{V3}/{path}", user="demo", json=body)

    assert answer.status_code == 403
    assert answer.json["error"]["code"] == 403


def test_a_system_reader_reads_everything_and_changes_nothing(cloud):
    user, _ = cloud.new_user("auditor")
    cloud.put(f"{V3}/system/users/{user}/roles/{cloud.role_id('reader')}")
    token = cloud.login("auditor", "pw", {"system": {"all": True}}).headers["X-Subject-Token"]

    assert len(cloud.get(f"{V3}/users", token=token).json["users"]) == 4
    body = {"project": {"name": "x"}}
    assert cloud.post(f"{V3}/projects", body, token=token).status_code == 403


def test_deleting_a_project_takes_its_grants(cloud):
    user, project = cloud.new_user("eve")

    cloud.delete(f"{V3}/projects/{project}")

    found = cloud.get(f"{V3}/role_assignments?user.id={user}").json["role_assignments"]
    assert found == []


def test_role_assignments_show_names_and_implied_roles(cloud):
    path = f"{V3}/role_assignments?user.id={cloud.user_id('demo')}"

    [plain] = cloud.get(f"{path}&include_names=true").json["role_assignments"]
    effective = cloud.get(f"{path}&effective").json["role_assignments"]

    assert plain["role"]["name"] == "member"
    assert plain["scope"]["project"]["name"] == "demo"
    assert plain["scope"]["project"]["domain"] == {"id": "default", "name": "Default"}
    assert plain["user"]["domain"]["name"] == "Default"
    assert len(effective) == 2


def test_an_application_credential_logs_in_with_the_roles_it_was_given(cloud):
    user = cloud.user_id("demo")
    body = {"application_credential": {"name": "ci", "roles": [{"name": "reader"}]}}
    made = cloud.post(f"{V3}/users/{user}/application_credentials", body, user="demo")
    credential = made.json["application_credential"]
    proof = {"id": credential["id"], "secret": credential["secret"]}
    auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}

    token = cloud.post(f"{V3}/auth/tokens", {"auth": auth}, user=None)

    assert credential["roles"][0]["name"] == "reader"
    assert token.status_code == 201
    assert [role["name"] for role in token.json["token"]["roles"]] == ["reader"]
    restricted = token.headers["X-Subject-Token"]
    again = cloud.post(f"{V3}/users/{user}/application_credentials", body, token=restricted)
    assert again.status_code == 403
    proof["secret"] = "wrong"
    assert cloud.post(f"{V3}/auth/tokens", {"auth": auth}, user=None).status_code == 401


def test_tokens_and_passwords_are_stored_as_digests_only(cloud, settings):
    token = cloud.token("demo")

    stored = b"".join(path.read_bytes() for path in settings.data_path.glob("companion.sqlite*"))

    assert token.encode() not in stored
    assert b"demo-pw" not in stored


def test_a_restart_keeps_users_and_tokens(cloud):
    cloud.new_user("eve")

    cloud.restart()

    assert cloud.get(f"{V3}/auth/projects", user="eve").status_code == 200


def test_bootstrap_again_repairs_passwords_and_urls_and_keeps_ids(cloud):
    before = cloud.user_id("admin")
    cloud.patch(f"{V3}/users/{cloud.user_id('demo')}", {"user": {"password": "forgotten"}})
    endpoints = {**ENDPOINTS, "compute": "http://elsewhere/v2.1"}

    bootstrap(cloud.companion.store, Bootstrap(PASSWORDS, endpoints=endpoints), Hasher(CHEAP))

    token = cloud.login("demo", "demo-pw", project_scope("demo")).json["token"]
    [compute] = [s for s in token["catalog"] if s["type"] == "compute"]
    assert {e["url"] for e in compute["endpoints"]} == {"http://elsewhere/v2.1"}
    assert len(compute["endpoints"]) == 3
    assert cloud.user_id("admin") == before


def test_bootstrap_again_with_the_same_passwords_keeps_tokens(cloud):
    cloud.token("demo")
    passwords = Passwords(admin="changed", service=PASSWORDS.service, demo=PASSWORDS.demo)

    bootstrap(cloud.companion.store, Bootstrap(passwords, endpoints=ENDPOINTS), Hasher(CHEAP))

    assert cloud.get(f"{V3}/auth/projects", user="demo").status_code == 200


def test_version_documents_need_no_token(cloud):
    assert cloud.get("/identity", user=None).status_code == 300
    version = cloud.get("/identity/v3/", user=None).json["version"]
    assert version["links"][0]["href"] == "http://c.test/identity/v3/"

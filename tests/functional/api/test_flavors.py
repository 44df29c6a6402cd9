# SPDX-License-Identifier: Apache-2.0
"""Who may use a flavor, what it asks of hosts, and how it is found, through real HTTP."""

import uuid
from collections.abc import Callable, Iterator

import pytest

NO_PROJECT = "99999999999949998999999999999999"
Make = Callable[..., str]


@pytest.fixture
def make(call) -> Iterator[Make]:
    """Makes flavors, and removes them afterwards; gives their ids."""
    made: list[str] = []

    def create(name: str | None = None, *, is_public: bool = True) -> str:
        body = {
            "name": name or f"f-{uuid.uuid4()}", "ram": 64, "vcpus": 1, "disk": 1,
            "os-flavor-access:is_public": is_public,
        }  # fmt: skip
        answer = call("POST", "/flavors", json={"flavor": body})
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["flavor"]["id"])
        return made[-1]

    yield create
    for flavor in made:
        call("DELETE", f"/flavors/{flavor}")


@pytest.fixture
def change(call):
    """Gives or takes a project's access: (flavor, project, action, version)."""

    def act(flavor: str, project: str, action: str = "add", version: str = "2.104"):
        body = {f"{action}TenantAccess": {"tenant": project}}
        return call("POST", f"/flavors/{flavor}/action", json=body, version=version)

    return act


@pytest.fixture
def project(cloud) -> str:
    return cloud.connect().current_project_id


def test_access_is_given_to_projects_that_exist(make, change, project):
    private = make(is_public=False)

    nobodys = change(private, NO_PROJECT)
    given = change(private, project)

    assert nobodys.status_code == 400
    assert NO_PROJECT in nobodys.json()["badRequest"]["message"]
    assert given.json()["flavor_access"] == [{"flavor_id": private, "tenant_id": project}]
    assert change(private, project).status_code == 409
    assert change(private, project, "remove").json() == {"flavor_access": []}
    assert change(private, project, "remove").status_code == 404
    assert change(private, NO_PROJECT, "remove").status_code == 404


def test_a_public_flavor_needs_no_access_and_gives_it_below_2_7_only(make, change, project):
    public = make()

    assert change(public, project).status_code == 409
    assert change(public, project, "remove").status_code == 404
    assert change(public, project, version="2.6").status_code == 200
    assert change(public, project, "remove").status_code == 200
    assert change("no-such-flavor", project).status_code == 404


def test_a_name_finds_one_flavor_from_2_102_on(call, make):
    name = f"n-{uuid.uuid4()}"
    made, _ = make(name), make(f"{name}.small")

    found = call("GET", f"/flavors/detail?name={name}&limit=1").json()

    assert [each["id"] for each in found["flavors"]] == [made]
    assert f"name={name}" in found["flavors_links"][0]["href"]
    assert call("GET", f"/flavors?name={name[:-1]}").json() == {"flavors": []}
    assert call("GET", f"/flavors?name={name}", version="2.101").status_code == 400


def test_an_extra_spec_that_makes_no_sense_leaves_the_flavor_as_it_was(call, make):
    path = f"/flavors/{make()}/os-extra_specs"
    specs = {"mine:a": "1", "hw:cpu_policy": "dedicated", "hw:cpu_treads": "1"}

    refused = call("POST", path, json={"extra_specs": specs})
    before = call("GET", path).json()["extra_specs"]
    accepted = call("POST", path, json={"extra_specs": specs}, version="2.85")

    assert refused.status_code == 400
    assert "'hw:cpu_treads'" in refused.json()["badRequest"]["message"]
    assert before == {}
    assert accepted.json()["extra_specs"] == specs

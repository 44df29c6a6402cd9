# SPDX-License-Identifier: Apache-2.0
"""Version documents say where the API is, and paths outside it what to choose from."""

import pytest

from tests.unit.api.conftest import Ask

HOST = {"Host": "cloud.example:8774"}


def test_the_root_lists_both_versions_without_version_headers(ask: Ask):
    answer = ask("GET", "/", roles=None, headers=HOST)

    old, new = answer.json["versions"]
    assert (old["id"], old["status"], old["version"]) == ("v2.0", "DEPRECATED", "")
    assert (new["id"], new["version"], new["min_version"]) == ("v2.1", "2.104", "2.1")
    assert new["links"] == [{"rel": "self", "href": "http://cloud.example:8774/v2.1/"}]
    assert "openstack-api-version" not in answer.headers


@pytest.mark.parametrize("path", ["/v2.1", "/v2.1/", "/v2", "/v2/"])
def test_a_version_describes_itself(ask: Ask, path):
    shown = ask("GET", path, roles=None, headers=HOST).json["version"]

    assert shown["links"][0]["href"] == f"http://cloud.example:8774/{path.strip('/')}/"
    kind = "2.1" if "2.1" in path else "2"
    assert shown["media-types"] == [
        {
            "base": "application/json",
            "type": f"application/vnd.openstack.compute+json;version={kind}",
        }
    ]


def test_any_other_path_is_a_choice(ask: Ask):
    answer = ask("GET", "/servers/1", roles=None, headers=HOST)

    assert answer.status_code == 300
    assert [c["links"][0]["href"] for c in answer.json["choices"]] == [
        "http://cloud.example:8774/v2/servers/1", "http://cloud.example:8774/v2.1/servers/1",
    ]  # fmt: skip


def test_a_version_by_its_id(ask: Ask):
    assert ask("GET", "/v2.1/versions/v2.1").json["version"]["id"] == "v2.1"
    missing = ask("GET", "/v2.1/versions/v9")
    assert missing.status_code == 404
    assert missing.json["itemNotFound"]["message"] == "The resource could not be found."


def test_every_operation_of_a_version_is_in_its_openapi_document(ask: Ask):
    document = ask("GET", "/openapi.json?microversion=2.90", roles=None).json

    assert document["openapi"] == "3.1.0"
    create = document["paths"]["/v2.1/servers"]["post"]
    fields = create["requestBody"]["content"]["application/json"]["schema"]["properties"]["server"]
    assert "hostname" in fields["properties"]
    assert "202" in create["responses"]

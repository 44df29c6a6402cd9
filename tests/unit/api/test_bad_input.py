# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a request is said in the contract's words, never with a 500 or a trace."""

import pytest

from tests import factories
from tests.unit.api.conftest import Ask

SERVER = {"name": "s", "flavorRef": "1", "imageRef": factories.IMAGE}


def message(answer, status: int, name: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert list(answer.json) == [name]
    assert answer.json[name]["code"] == status
    assert "Traceback" not in answer.text
    return answer.json[name]["message"]


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe\x00", b"[1, 2", b'{"server": }', b"nonsense", b"{" * 100_000]
)
def test_a_body_that_is_not_json_is_malformed(ask: Ask, raw):
    answer = ask("POST", "/v2.1/servers", raw=raw)

    assert message(answer, 400, "badRequest") == "Malformed request body"


@pytest.mark.parametrize("body", [[], "text", 7, {"server": []}, {"server": None}, {}])
def test_a_body_of_the_wrong_type_is_refused(ask: Ask, body):
    assert message(ask("POST", "/v2.1/servers", body), 400, "badRequest")


@pytest.mark.parametrize("path", [
    "/os-simple-tenant-usage/", "/os-quota-class-sets/", "/os-quota-sets/", "/servers/",
])  # fmt: skip
def test_nothing_is_where_a_url_ends_before_an_id(ask: Ask, path):
    assert message(ask("GET", f"/v2.1{path}"), 404, "itemNotFound")


def test_no_body_where_one_is_needed(ask: Ask):
    text = message(ask("POST", "/v2.1/servers"), 400, "badRequest")

    assert text == "None is not of type 'object'"


def test_a_body_that_is_too_large_is_refused_with_413(ask: Ask):
    body = {"server": SERVER | {"user_data": "A" * 200_000}}

    assert message(ask("POST", "/v2.1/servers", body), 413, "overLimit")


def test_another_media_type_is_refused(ask: Ask):
    answer = ask("POST", "/v2.1/servers", raw=b"<a/>", headers={"Content-Type": "text/xml"})

    assert message(answer, 415, "badMediaType") == "Unsupported Content-Type"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "x" * 256}, "name"),
        ({"flavorRef": None}, "flavorRef"),
        ({"imageRef": "not-a-uuid"}, "imageRef"),
        ({"metadata": {"k": 7}}, "k"),
        ({"min_count": "0"}, "min_count"),
        ({"min_count": 0}, "min_count"),
        ({"networks": [{"uuid": 1}]}, "uuid"),
        ({"user_data": "A" * 65_536}, "user_data"),
        ({"accessIPv4": "300.1.1.1"}, "accessIPv4"),
        ({"config_drive": "perhaps"}, "config_drive"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_the_message_names_the_field(ask: Ask, changes, named):
    answer = ask("POST", "/v2.1/servers", {"server": SERVER | changes})

    assert named in message(answer, 400, "badRequest")


def test_a_name_with_control_characters_has_a_message_of_its_own(ask: Ask):
    answer = ask("POST", "/v2.1/servers", {"server": SERVER | {"name": "a\x00b"}})

    assert message(answer, 400, "badRequest").startswith("An invalid 'name' value was provided.")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=-1", "Invalid input for query parameters limit. Value: -1. "
                     "'-1' does not match '^[0-9]*$'"),
        ("limit=x", "Invalid input for query parameters limit. Value: x. "
                    "'x' does not match '^[0-9]*$'"),
        ("name=[", "Invalid input for query parameters name. Value: [. '[' is not a 'regex'"),
        ("changes-since=soon", "Invalid input for query parameters changes-since. Value: soon. "
                               "'soon' is not a 'date-time'"),
    ],
)  # fmt: skip
def test_a_bad_query_key_is_named(ask: Ask, query, text):
    assert message(ask("GET", f"/v2.1/servers?{query}"), 400, "badRequest") == text


def test_bad_utf8_in_a_query_is_refused(ask: Ask):
    assert message(ask("GET", "/v2.1/servers?name=%ff%fe"), 400, "badRequest")


@pytest.mark.parametrize(
    ("version", "status", "name", "echoed"),
    [
        ("2.999", 406, "computeFault", "2.999"),
        ("1.0", 406, "computeFault", "1.0"),
        ("abc", 400, "badRequest", None),
        ("2.01", 400, "badRequest", None),
    ],
)
def test_a_version_that_is_not_offered_is_said_so(ask: Ask, version, status, name, echoed):
    answer = ask("GET", "/v2.1/servers", version=version)

    assert version in message(answer, status, name)
    assert answer.headers.get("x-openstack-nova-api-version") == echoed


def test_latest_and_the_old_header_are_understood(ask: Ask):
    assert (
        ask("GET", "/v2.1/servers", version="latest").headers["openstack-api-version"]
        == "compute 2.104"
    )
    answer = ask("GET", "/v2.1/servers", headers={"X-OpenStack-Nova-API-Version": "2.30"})
    assert answer.headers["x-openstack-nova-api-version"] == "2.30"


def test_an_unknown_path_or_method_is_plain_404_without_versions(ask: Ask):
    for method, path in (("GET", "/v2.1/nothing"), ("PATCH", "/v2.1/servers")):
        answer = ask(method, path)

        assert answer.status_code == 404
        assert answer.text == "404 Not Found\n\nThe resource could not be found.\n\n   \n"
        assert answer.headers["content-type"].startswith("text/plain")
        assert "openstack-api-version" not in answer.headers
        assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_another_project_in_the_url_is_refused(ask: Ask):
    answer = ask("GET", "/v2.1/abcdef/servers")

    assert message(answer, 400, "badRequest") == (
        "Malformed request URL: URL's project_id 'abcdef' doesn't match "
        f"Context's project_id '{factories.PROJECT}'"
    )
    assert ask("GET", f"/v2.1/{factories.PROJECT}/servers").status_code == 200


def test_an_unknown_action_is_named(ask: Ask):
    path = f"/v2.1/servers/{factories.INSTANCE}/action"

    assert message(ask("POST", path, {"fly": 1}), 400, "badRequest") == (
        "There is no such action: fly"
    )
    assert message(ask("POST", path, {"os-start": 1, "os-stop": 1}), 400, "badRequest") == (
        "Malformed request body"
    )


def test_a_server_that_is_not_there(ask: Ask):
    answer = ask("GET", "/v2.1/servers/unknown")

    assert message(answer, 404, "itemNotFound") == "Instance unknown could not be found."


def test_policy_names_its_rule(ask: Ask):
    answer = ask("GET", "/v2.1/os-services", roles="member,reader")

    assert message(answer, 403, "forbidden") == (
        "Policy doesn't allow os_compute_api:os-services:list to be performed."
    )


def test_the_legacy_mount_drops_what_it_does_not_know(ask: Ask):
    answer = ask("POST", "/v2/servers", {"server": SERVER | {"surprise": 1}}, version=90)

    assert answer.status_code == 202
    assert "openstack-api-version" not in answer.headers


def test_the_tables_paths_do_not_answer_without_their_mount(ask: Ask):
    assert ask("GET", "/servers").status_code == 300
    assert ask("GET", "/v2.1/servers", roles=None).status_code == 300


def test_the_openapi_document_is_there_for_each_version(ask: Ask):
    old = ask("GET", "/openapi.json?microversion=2.1", roles=None).json
    new = ask("GET", "/openapi.json", roles=None).json
    latest = ask("GET", "/openapi.json?microversion=latest", roles=None).json

    assert (old["info"]["version"], new["info"]["version"]) == ("2.1", "2.104")
    assert latest == new
    assert "/v2.1/servers/{server_id}/tags" in new["paths"]
    assert "/v2.1/servers/{server_id}/tags" not in old["paths"]
    refused = ask("GET", "/openapi.json?microversion=2.200", roles=None)
    assert message(refused, 400, "badRequest")

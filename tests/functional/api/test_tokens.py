# SPDX-License-Identifier: Apache-2.0
"""Who gets in: documents are for everybody, the API for those with a token."""

import pytest
import requests

from tests.functional.cloud import Cloud


def get(cloud: Cloud, path: str, **headers: str) -> requests.Response:
    return requests.get(
        cloud.compute_url + path, headers={k.replace("_", "-"): v for k, v in headers.items()},
        timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/", "/v2.1", "/v2.1/", "/v2", "/v2/", "/openapi.json", "/healthz"]
)
def test_documents_need_no_token(cloud: Cloud, path: str):
    assert get(cloud, path).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X_Auth_Token": "made-up"}, {"X_Auth_Token": ""}])
def test_without_a_valid_token_there_is_a_401_in_the_contracts_form(cloud: Cloud, headers):
    answer = get(cloud, "/v2.1/servers", **headers)

    assert answer.status_code == 401
    assert answer.json() == {
        "error": {
            "code": 401,
            "title": "Unauthorized",
            "message": "The request you have made requires authentication.",
        }
    }
    assert answer.headers["WWW-Authenticate"].startswith('Keystone uri="http')
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    assert answer.headers["x-compute-request-id"] == answer.headers["x-openstack-request-id"]


def test_nobody_can_say_by_a_header_who_they_are(cloud: Cloud):
    lies = {"X_Identity_Status": "Confirmed", "X_Roles": "admin", "X_Project_Id": "p"}

    assert get(cloud, "/v2.1/servers", **lies).status_code == 401
    token = cloud.connect("demo").auth_token
    for _ in range(2):  # also from what the filter remembers
        answer = get(cloud, "/v2.1/os-services", X_Auth_Token=token, X_Roles="admin")
        assert answer.status_code == 403


def test_a_token_counts_for_its_own_project_only(cloud: Cloud):
    demo, admin = cloud.connect("demo"), cloud.connect("admin")

    own = f"/v2.1/{demo.current_project_id}/servers"
    assert get(cloud, own, X_Auth_Token=demo.auth_token).status_code == 200
    foreign = f"/v2.1/{admin.current_project_id}/servers"
    assert get(cloud, foreign, X_Auth_Token=demo.auth_token).status_code == 400


def test_large_answers_are_compressed_for_who_wants_it(cloud: Cloud):
    token = cloud.connect("demo").auth_token

    packed = get(cloud, "/v2.1/extensions", X_Auth_Token=token, Accept_Encoding="gzip")
    plain = get(cloud, "/v2.1/extensions", X_Auth_Token=token, Accept_Encoding="identity")

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 3


def test_a_request_id_of_the_caller_is_kept_beside_ours(cloud: Cloud):
    theirs = "req-11111111-2222-4333-8444-555555555555"
    token = cloud.connect("demo").auth_token

    answer = get(cloud, "/v2.1/servers", X_Auth_Token=token, X_OpenStack_Request_ID=theirs)

    assert answer.headers["x-openstack-request-id"] != theirs


def test_other_methods_are_unknown_paths(cloud: Cloud):
    token = cloud.connect("demo").auth_token
    for method in ("OPTIONS", "HEAD", "PATCH", "TRACE"):
        answer = requests.request(
            method, f"{cloud.compute_url}/v2.1/servers", headers={"X-Auth-Token": token}, timeout=30
        )
        assert answer.status_code == 404, method


def test_a_body_that_is_too_large_is_refused_before_its_token_is_looked_at(cloud: Cloud):
    answer = requests.post(f"{cloud.compute_url}/v2.1/servers", data=b"x" * 200_000, timeout=30)

    assert answer.status_code == 413
    assert answer.json()["overLimit"]["code"] == 413
    assert answer.headers["x-openstack-request-id"].startswith("req-")

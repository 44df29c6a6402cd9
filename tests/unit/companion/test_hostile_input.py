# SPDX-License-Identifier: Apache-2.0
"""Whatever a client sends, the answer is a 4xx in the service's own form."""

import pytest

POSTS = (
    ("/identity/v3/auth/tokens", "error"), ("/identity/v3/users", "error"),
    ("/identity/v3/endpoints", "error"), ("/image/v2/images", "message"),
    ("/network/v2.0/networks", "NeutronError"), ("/network/v2.0/ports", "NeutronError"),
    ("/network/v2.0/security-group-rules", "NeutronError"),
)  # fmt: skip
BODIES = (
    b"", b"{", b"null", b"[]", b"5", b'"text"', b"\xff\xfe", b'{"a": "\xff"}', b'{"a": "\\ud800"}',
    b"[" * 50_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"user": 5}', b'{"auth": []}',
    b'{"auth": {"identity": {"methods": ["password"], "password": {"user": []}}}}',
    b'{"auth": {"identity": {"methods": [{}]}}}', b'{"network": []}', b'{"ports": [5]}',
    b'{"ports": []}', b'{"name": {"a": 1}}', b'{"network": {"name": 1e999}}',
    b'{"network": {"mtu": 99999999999999999999999999}}', b'{"user": {"name": ["x"]}}',
    b'{"security_group_rule": {"protocol": 1e400}}', b'{"port": {"network_id": {"$ne": 1}}}',
)  # fmt: skip


@pytest.mark.parametrize(("path", "key"), POSTS)
@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_makes_no_sense_is_a_bad_request(cloud, path, key, body):
    answer = cloud.request("POST", path, body=body, headers={"Content-Type": "application/json"})

    assert 400 <= answer.status_code < 500
    assert key in answer.json
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("path", "key"), POSTS)
def test_a_body_that_is_too_large_is_refused_by_its_length(cloud, path, key):
    answer = cloud.request("POST", path, body=b" " * (2 << 20))

    assert answer.status_code == 413
    assert key in answer.json


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "' OR 1=1 --", "\x7f", "é"])
@pytest.mark.parametrize("path", [
    "/identity/v3/users", "/image/v2/images", "/network/v2.0/ports", "/identity/v3/auth/tokens",
])  # fmt: skip
def test_a_token_that_was_never_given_out_opens_nothing(cloud, path, token):
    answer = cloud.get(path, user=None, headers={"X-Auth-Token": token})

    assert answer.status_code == 401


@pytest.mark.parametrize(("path", "key"), [
    ("/identity/v3/nothing", "error"), ("/image/v2/nothing", "message"), ("/nothing", "error"),
    ("/network/v2.0/nothing", "NeutronError"),
])  # fmt: skip
def test_a_path_that_leads_nowhere_is_not_found(cloud, path, key):
    answer = cloud.get(path)

    assert answer.status_code == 404
    assert key in answer.json


@pytest.mark.parametrize("path", ["/identity/v3/users", "/image/v2/images", "/network/v2.0/ports"])
def test_a_verb_that_is_not_there_is_not_allowed(cloud, path):
    answer = cloud.request("TRACE", path)

    assert answer.status_code in (400, 405)


@pytest.mark.parametrize("query", [
    "name=%00", "name=%ff", "limit=99999999999999999999", "enabled=maybe", "a=b&a=c", "%zz", "id=",
    "sort_key=id;x", "fields=%00", "mtu=99999999999999999999999", "fixed_ips=x", "marker=%00",
])  # fmt: skip
@pytest.mark.parametrize("path", [
    "/identity/v3/users", "/image/v2/images", "/network/v2.0/ports", "/network/v2.0/networks",
])  # fmt: skip
def test_a_strange_query_never_breaks_a_list(cloud, path, query):
    assert cloud.get(f"{path}?{query}").status_code in (200, 400)


@pytest.mark.parametrize("path", [
    "/identity/v3/users/{}", "/image/v2/images/{}", "/network/v2.0/ports/{}",
    "/network/v2.0/extensions/{}", "/image/v2/schemas/{}", "/network/v2.0/ports/{}/bindings",
])  # fmt: skip
@pytest.mark.parametrize("item", ["%00", "%ff", "..%2f..%2fetc%2fpasswd", "x" * 5000, "%27--"])
def test_a_strange_id_is_not_found(cloud, path, item):
    assert cloud.get(path.format(item)).status_code == 404


def test_health_needs_no_token(cloud):
    answer = cloud.get("/healthz", user=None)

    assert answer.status_code == 200
    assert answer.json["healthy"] is True

# SPDX-License-Identifier: Apache-2.0
"""Shares of servers through real HTTP, in a cloud without shared file systems."""

import pytest

from tests.functional.api.servers import server  # noqa: F401

_SHARE = "e8debdc0-447a-4376-a10a-4cd9122d7986"


def test_a_server_has_no_shares(call, server):  # noqa: F811
    answer = call("GET", f"/servers/{server}/shares")

    assert answer.json() == {"shares": []}
    assert call("GET", f"/servers/{server}/shares", version="2.96").status_code == 404


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("POST", "", {"share": {"share_id": _SHARE}}),
        ("GET", f"/{_SHARE}", None),
        ("DELETE", f"/{_SHARE}", None),
    ],
)
def test_a_share_that_is_named_is_not_found(call, server, method, below, body):  # noqa: F811
    answer = call(method, f"/servers/{server}/shares{below}", json=body)

    assert answer.status_code == 404, answer.text
    message = answer.json()["itemNotFound"]["message"]
    assert message == f"Share {_SHARE} could not be found."


def test_the_shares_of_a_missing_server_are_not_found(call):
    answer = call("GET", f"/servers/{_SHARE}/shares")

    assert answer.status_code == 404
    assert _SHARE in answer.json()["itemNotFound"]["message"]

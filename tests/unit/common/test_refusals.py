# SPDX-License-Identifier: Apache-2.0
"""What neighbours say when they refuse something, in the words that users are told."""

import json

import keystoneauth1.exceptions as ka
import pytest
import requests

from common.clients.session import refusal_of


def answer(body, kind="application/json"):
    made = requests.Response()
    made.status_code = 400
    made.headers["Content-Type"] = kind
    made._content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return ka.from_response(made, "GET", "http://neighbour/v2/things")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"badRequest": {"code": 400, "message": "No such type."}}, "No such type."),
        (
            {"NeutronError": {"type": "BadIp", "message": "No such IP.", "detail": ""}},
            "No such IP.",
        ),
        ({"error": {"code": 400, "title": "Bad Request"}}, "Bad Request"),
        (
            {"message": "No such<br /><br />\n\n\nimage.<br />", "code": "400", "title": "Bad"},
            "No such image.",
        ),
    ],
)
def test_the_reason_is_the_neighbours_own(body, words):
    refused = refusal_of(answer(body))

    assert (str(refused), refused.status) == (words, 400)


def test_a_reason_has_the_type_that_the_network_service_gives():
    body = {"NeutronError": {"type": "BadIp", "message": "No such IP."}}

    assert refusal_of(answer(body)).error_type == "BadIp"


@pytest.mark.parametrize("body", ["<html>no</html>", "[]", '"text"', "{}", "null"])
def test_an_answer_without_a_reason_is_a_bad_request(body):
    assert "400" in str(refusal_of(answer(body)))

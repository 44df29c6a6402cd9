# SPDX-License-Identifier: Apache-2.0
"""What a request schema refuses, the running system refuses with 400 and the reason."""

from typing import Any

import pytest

from tests.conformance import operations
from tests.conformance.asked import ASKED
from tests.conformance.mutations import Reference, near
from tests.conformance.operations import key_of
from tests.conformance.test_answers import cases
from tests.conformance.world import Nowhere, World

# Of very many documents that a schema refuses every n-th is sent.
_MOST = 120


def _with_schema() -> list[dict[str, Any]]:
    return [
        each
        for each in operations.present()
        if each["status"] != "always_error"
        and operations.schema(each, "request", operations.versions(each)[1])
        and ASKED[key_of(each)](Nowhere(), operations.versions(each)[1])[1] is not None
    ]


@pytest.mark.parametrize("operation", cases(_with_schema()))
def test_a_body_that_the_schema_refuses_is_answered_with_400(world: World, operation):
    _, version = operations.versions(operation)
    path, body = ASKED[key_of(operation)](Nowhere(), version)
    schema = operations.schema(operation, "request", version)
    reference = Reference(schema)
    assert reference.fits(body), body
    name = operation.get("action")
    wrong = [d for d in near(body, schema) if isinstance(d, dict) and not reference.fits(d)]
    for document in wrong[:: len(wrong) // _MOST + 1]:
        if name and list(document) != [name]:
            continue  # another action's, or none
        answer = world.ask(operation["method"], path, document, version=version)

        assert answer.status_code == 400, f"{document}: {answer.status_code} {answer.text[:300]}"
        assert answer.json()["badRequest"]["message"]


@pytest.mark.parametrize("operation", cases(
    each for each in operations.present() if operations.schema(
        each, "query", operations.versions(each)[1])))  # fmt: skip
def test_a_query_is_held_to_its_schema(world: World, operation):
    _, version = operations.versions(operation)
    schema = operations.schema(operation, "query", version)
    reference = Reference(schema)
    path, _ = ASKED[key_of(operation)](Nowhere(), version)
    path = path.partition("?")[0]
    for key, value in [("no-such-key", "x"), *((k, "\u2603 -1") for k in schema["properties"])]:
        answer = world.ask(operation["method"], path, version=version, params={key: value})

        refused = not reference.fits({key: [value]})
        where = f"{key}={value}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500 or answer.status_code == 501, where
        if refused:
            assert answer.status_code == 400, where
        elif key == "no-such-key":
            assert "no-such-key" not in answer.text, where

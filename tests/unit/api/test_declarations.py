# SPDX-License-Identifier: Apache-2.0
"""What requests may carry is, field by field and at every microversion, what the contract says."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import Invalid
from services.api.actions import Actions
from services.api.declare.request import Body
from services.api.declare.version import FIRST, LAST, minor
from services.api.responder import Operation, operation_of
from services.api.routes import Parts, routes
from tests.conformance import contract, operations
from tests.conformance.asked import ASKED
from tests.conformance.mutations import Reference, near
from tests.conformance.world import Nowhere

_SAMPLES = Path(contract.__path__[0]) / "samples"
_METHODS = ("get", "post", "put", "delete")

Key = tuple[str, str, str | None]


def _flat(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def _served(parts: Parts) -> dict[Key, Operation]:
    """Every operation of the route table by method, path without names, and action."""
    found: dict[Key, Operation | None] = {}
    for route in routes(parts):
        path = _flat(route.path)
        if isinstance(route.resource, Actions):
            for action, act in route.resource.actions.items():
                found["POST", path, action] = operation_of(act)
            continue
        for method in _METHODS:
            name = f"on_{method}_{route.suffix}" if route.suffix else f"on_{method}"
            found[method.upper(), path, None] = operation_of(getattr(route.resource, name, None))
    return {key: operation for key, operation in found.items() if operation is not None}


@pytest.fixture(scope="module")
def served(parts: Parts) -> dict[Key, Operation]:
    return _served(parts)


def _contracts(served: dict[Key, Operation]) -> Iterator[tuple[Key, Operation, dict[str, Any]]]:
    for found in operations.everything():
        key = (found["method"], _flat(found["path"]), found.get("action"))
        if key in served:
            yield key, served[key], found


def _normal(schema: Any) -> Any:
    """A schema with what makes no difference taken out."""
    if isinstance(schema, list):
        return [_normal(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    normal = {}
    for word, value in schema.items():
        if word == "title":
            continue
        if word in ("required", "enum") or (word == "type" and isinstance(value, list)):
            normal[word] = sorted(value, key=repr)
        elif word in ("properties", "patternProperties"):
            normal[word] = {name: _normal(each) for name, each in value.items()}
        else:
            normal[word] = _normal(value)
    return {word: value for word, value in normal.items() if value not in ([], {})}


def _normal_query(schema: dict[str, Any]) -> Any:
    """As `_normal`; a query is always an object of lists of texts, so that needs no saying."""
    normal = {"type": "object", "additionalProperties": True} | _normal(schema)
    for part in ("properties", "patternProperties"):
        for name, given in schema.get(part, {}).items():
            normal[part][name] = _normal(given or {"type": "array", "items": {"type": "string"}})
    if "patternProperties" in normal:
        normal["patternProperties"] = sorted(normal["patternProperties"])
    return normal


def test_every_operation_of_ours_has_the_contracts_microversions(served):
    wrong = [
        (key, operation.span)
        for key, operation, contract_ in _contracts(served)
        if (operation.span.first, operation.span.last) != operations.versions(contract_)
    ]

    assert wrong == []


def test_nothing_is_served_that_the_contract_does_not_know(served):
    known = {key for key, _, _ in _contracts(served)}

    assert {key for key in served if not key[1].startswith("/kilonova/")} == known


@pytest.mark.parametrize(("part", "normal"), [("request", _normal), ("query", _normal_query)])
def test_schemas_of_requests_are_those_of_the_contract(served, part, normal):
    for key, operation, contract_ in _contracts(served):
        declared = operation.body if part == "request" else operation.query
        for version in operations.turning_points(contract_):
            wanted = operations.schema(contract_, part, version)
            if (key[2] == "unlock" and version >= 73) or (key[2] == "migrate" and version < 56):
                continue  # looks at nothing but the action's name; the contract has no schema
            assert (declared is None) == (wanted is None), (key, version)
            if declared is not None and wanted is not None:
                ours = json.loads(json.dumps(declared.schema(version)))
                assert normal(ours) == normal(wanted), (key, version)


def _verdict(declared: Body, document: Any, version: int) -> bool:
    try:
        declared.check(document, version)
    except Invalid as refused:  # a rule between fields stands beside the schema
        return str(refused) in {rule.message for rule in declared.rules}
    return True


def test_bodies_near_a_good_one_are_judged_as_the_contracts_schemas_judge_them(served):
    judged = Counter()
    for key, operation, contract_ in _contracts(served):
        seen = []
        for version in operations.turning_points(contract_):
            schema = operations.schema(contract_, "request", version)
            if operation.body is None or schema is None or schema in seen:
                continue
            seen.append(schema)
            _, body = ASKED[operations.key_of(contract_)](Nowhere(), version)
            reference = Reference(schema)
            assert reference.fits(body), (key, version, body)
            for document in (body, *near(body, schema)):
                fits = reference.fits(document)
                judged[fits] += 1
                ours = _verdict(operation.body, document, version)
                assert ours == fits, (
                    key, version, document,
                )  # fmt: skip

    assert min(judged[True], judged[False]) > 1000


def test_the_policy_rule_is_one_of_the_contracts(served):
    wrong = [
        key
        for key, operation, contract_ in _contracts(served)
        if operation.policy is not None and operation.policy not in contract_["policies"]
    ]

    assert wrong == []


def _request_samples() -> list[dict[str, Any]]:
    index = json.loads((_SAMPLES / "index.json").read_text())
    return [each for each in index["samples"] if each["kind"] == "request"]


def test_published_requests_are_accepted_and_those_that_break_the_rules_are_not(served):
    checked = 0
    for sample in _request_samples():
        operation = served.get((sample["method"], _flat(sample["path"]), sample.get("action")))
        if operation is None or operation.body is None:
            continue
        body = json.loads((_SAMPLES / sample["file"]).read_text())
        version = max(minor(sample["version"]), FIRST)
        if sample.get("invalid"):
            with pytest.raises(Invalid):
                operation.body.check(body, version)
        else:
            operation.body.check(body, version)
        checked += 1

    assert checked > 40
    assert LAST == 104

# SPDX-License-Identifier: Apache-2.0
"""Comparing answers with the contract's schemas, and with what our own OpenAPI document says."""

import functools
import re
from typing import Any

import jsonschema
import requests

from services.api.declare.formats import CHECKS
from tests.conformance import operations

_FORMATS = jsonschema.FormatChecker(formats=())
for _name in ("uuid", "date-time", "ipv4", "ipv6", "cidr"):
    _FORMATS.checks(_name)(
        lambda text, check=CHECKS[_name]: not isinstance(text, str) or check(text)
    )
# Documents without a token are no part of the OpenAPI document.
DOCUMENTS = ("//", "/")
_UNDESCRIBED = (*DOCUMENTS, "/versions/{id}")


def differences(operation: dict[str, Any], version: int, answer: requests.Response) -> list[str]:
    """What of an answer is not as the contract has it."""
    allowed = operations.successes(operation, version)
    if answer.status_code not in allowed:
        return [f"status {answer.status_code}, not {allowed}"]
    headers = answer.headers
    wrong = [name for name in ("x-openstack-request-id", "x-compute-request-id")
             if not headers.get(name, "").startswith("req-")]  # fmt: skip
    if operation["path"] not in DOCUMENTS:
        if headers.get("OpenStack-API-Version") != f"compute 2.{version}":
            wrong.append("OpenStack-API-Version")
        if headers.get("X-OpenStack-Nova-API-Version") != f"2.{version}":
            wrong.append("X-OpenStack-Nova-API-Version")
        if "OpenStack-API-Version" not in headers.get("Vary", ""):
            wrong.append("Vary")
    if answer.status_code >= 400:
        return wrong
    expected = operations.schema(operation, "response", version)
    if expected is None or expected.get("type") == "null":
        return wrong + (["there should be no body"] if answer.content else [])
    if not headers.get("Content-Type", "").startswith("application/json"):
        wrong.append("Content-Type")
    return wrong + differences_of_body(operation, version, answer.json())


def differences_of_body(operation: dict[str, Any], version: int, document: Any) -> list[str]:
    """What of an answer's document does not fit the contract's schema."""
    expected = operations.schema(operation, "response", version)
    assert expected is not None
    return _errors(expected, document)


def undescribed(url: str, operation: dict[str, Any], version: int, answer: Any) -> list[str]:
    """What of a successful answer our own OpenAPI document (at `url`) says otherwise."""
    if operation["path"] in _UNDESCRIBED:
        return []
    item = _paths(url, version).get(f"/v2.1{_flat(operation['path'])}", {})
    described = item.get(operation["method"].lower())
    if described is None:
        return ["the document does not have the operation"]
    response = described["responses"].get(str(answer.status_code))
    if response is None:
        return [f"the document does not have status {answer.status_code}"]
    if not answer.content:
        return []
    if "content" not in response:
        return ["the document has no body"]
    return _errors(response["content"]["application/json"]["schema"], answer.json())


@functools.cache
def _paths(url: str, version: int) -> dict[str, Any]:
    found = requests.get(f"{url}/openapi.json?microversion=2.{version}", timeout=30).json()["paths"]
    return {_flat(path): item for path, item in found.items()}


def _flat(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def _errors(schema: dict[str, Any], document: Any) -> list[str]:
    checker = jsonschema.Draft202012Validator(schema, format_checker=_FORMATS)
    return [f"{list(e.path)}: {e.message[:300]}" for e in checker.iter_errors(document)]

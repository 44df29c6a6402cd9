# SPDX-License-Identifier: Apache-2.0
"""The same API by its other URLs: with a project in the path, and as the legacy `/v2`."""

import json
from typing import Any

import pytest
import requests

from services.api.declare.version import FIRST
from tests.conformance import operations
from tests.conformance.answers import differences_of_body
from tests.conformance.asked import ASKED
from tests.conformance.operations import key_of
from tests.conformance.test_answers import cases
from tests.conformance.world import World

_OURS = ("self", "bookmark", "next")


def _readable() -> list[dict[str, Any]]:
    return [
        each
        for each in operations.present()
        if each["method"] == "GET"
        and operations.versions(each)[0] == FIRST
        and operations.successes(each, FIRST) == {200}
        and each["path"] not in ("/", "//")
        and not each["path"].startswith(("/os-baremetal", "/versions"))
    ]


@pytest.mark.parametrize("operation", cases(_readable()))
def test_a_project_in_the_path_changes_links_only(world: World, operation):
    path, _ = ASKED[key_of(operation)](world, FIRST)

    plain = world.ask("GET", path, version=FIRST)
    scoped = world.ask("GET", f"/{world.project_id}{path}", version=FIRST)

    assert scoped.status_code == plain.status_code == 200, scoped.text[:300]
    assert differences_of_body(operation, FIRST, scoped.json()) == []
    root = world.cloud.compute_url
    for href in _hrefs(scoped.json()):
        if href.startswith(f"{root}/"):
            assert f"/{world.project_id}/" in href


@pytest.mark.parametrize("operation", cases(_readable()))
def test_the_legacy_mount_is_the_first_version_without_version_headers(world: World, operation):
    path, _ = ASKED[key_of(operation)](world, FIRST)

    answer = requests.get(
        f"{world.cloud.compute_url}/v2{path}",
        headers={"X-Auth-Token": world.token, "OpenStack-API-Version": "compute 2.104"},
        timeout=30,
    )

    assert answer.status_code == 200, answer.text[:300]
    assert differences_of_body(operation, FIRST, answer.json()) == []
    assert "OpenStack-API-Version" not in answer.headers


def _hrefs(document: Any) -> list[str]:
    """Every link of a document that leads to this API."""
    found: list[str] = []
    json.loads(
        json.dumps(document),
        object_hook=lambda each: found.append(each["href"]) if each.get("rel") in _OURS else None,
    )
    return found

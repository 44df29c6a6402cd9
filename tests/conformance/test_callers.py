# SPDX-License-Identifier: Apache-2.0
"""Who may and who may not: every operation asked for by callers of several roles and projects.

The things asked for are an administrator's in the project `demo`. What the callers may do is what
the contract's rules say.
"""

from typing import Any

import pytest

from tests.conformance import operations, policies
from tests.conformance.asked import ASKED
from tests.conformance.operations import key_of
from tests.conformance.test_answers import cases
from tests.conformance.world import World
from tests.functional.cloud import Cloud

# Rules whose target is the user: what belongs to another user is not found.
_OF_A_USER = ("/os-keypairs/{id}",)
# What names something of a project in its URL.
_OF_A_PROJECT = ("/servers/{", "/os-server-groups/{", "/os-volumes_boot/{")


@pytest.fixture(scope="module")
def callers(cloud: Cloud) -> dict[str, World]:
    cloud.add_user("onlooker", "reader", project="demo")
    cloud.add_user("stranger", "member", project="elsewhere")
    identity = cloud.connect("admin").identity
    identity.assign_project_role_to_user(
        identity.find_project("demo"), identity.find_user("admin"), identity.find_role("admin")
    )
    return {
        "owner": World(cloud, "admin", "demo"),
        "member": World(cloud, "demo"),
        "reader": World(cloud, "onlooker", "demo"),
        "stranger": World(cloud, "stranger", "elsewhere"),
    }


def _guarded() -> list[dict[str, Any]]:
    return [
        each
        for each in operations.present()
        if each["policies"] and each["status"] != "always_error"
    ]


def _ask(callers: dict[str, World], caller: str, operation: dict[str, Any]) -> Any:
    _, version = operations.versions(operation)
    path, body = ASKED[key_of(operation)](callers["owner"], version)
    return callers[caller].ask(operation["method"], path, body, version=version)


def _refusing(operation: dict[str, Any], role: str) -> str | None:
    """The first rule that turns this role away."""
    return next((r for r in operation["policies"] if not policies.allows(r, role)), None)


@pytest.mark.parametrize("role", ["member", "reader"])
@pytest.mark.parametrize("operation", cases(_guarded()))
def test_a_role_may_do_in_its_project_what_the_contracts_rules_say(callers, operation, role):
    answer = _ask(callers, role, operation)

    rule = _refusing(operation, role)
    where = f"{answer.request.method} {answer.request.path_url} as {role}: {answer.text[:300]}"
    if rule is not None:
        assert answer.status_code == 403, where
        message = answer.json()["forbidden"]["message"]
        assert message == f"Policy doesn't allow {rule} to be performed."
    elif operation["path"] in _OF_A_USER:
        assert answer.status_code == 404, where
    else:
        assert answer.status_code != 403, where
        assert answer.status_code < 500 or answer.status_code == 501, where


@pytest.mark.parametrize(
    "operation",
    cases(
        (each for each in _guarded() if each["path"].startswith(_OF_A_PROJECT)),
    ),
)
def test_what_belongs_to_another_project_is_not_found(callers, operation):
    answer = _ask(callers, "stranger", operation)

    if _refusing(operation, "member") or operation["path"].split("/")[3:4] in (
        ["tags"],
        ["shares"],
    ):
        assert answer.status_code in (403, 404), answer.text[:300]
    else:
        assert answer.status_code == 404, answer.text[:300]


def test_lists_show_nothing_of_another_project(callers):
    kept = callers["owner"].kept
    stranger = callers["stranger"]
    for path in ("/servers", "/servers/detail", "/os-keypairs", "/os-server-groups"):
        for query in ("", "?all_tenants=0", f"?project_id={callers['owner'].project_id}"):
            if query and not path.startswith("/servers"):
                continue
            assert kept not in stranger.ask("GET", path + query, version=60).text
            assert "kept" not in stranger.ask("GET", path + query, version=60).text

    refused = stranger.ask("GET", "/servers?all_tenants=1")
    assert refused.status_code == 403, refused.text


@pytest.mark.parametrize("path", ["/servers", "/flavors", "/limits", "/os-services"])
def test_without_a_valid_token_nobody_is_let_in(world: World, path):
    for token in ("", "no-such-token"):
        answer = world.ask("GET", path, headers={"X-Auth-Token": token})

        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == 401

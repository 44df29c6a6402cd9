# SPDX-License-Identifier: Apache-2.0
"""For each policy rule: who may and who may not, asked of a running cloud.

A rule is asked for by one operation that it guards, or by what it decides within one
(`consequences.py`). The things asked for are an administrator's in the project `demo`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.conformance import excused, operations, policies
from tests.conformance.asked import ASKED
from tests.conformance.consequences import CONSEQUENCES, Consequence
from tests.conformance.operations import key_of
from tests.conformance.world import World
from tests.functional.cloud import Cloud

# Users of the project, the weakest first, with the contract's word for what they are.
_IN_PROJECT = ("nobody", "reader", "member", "manager", "admin")
# What names something of a project (or of a user in it) in its URL, here or in a neighbour.
_OF_A_PROJECT = (
    "/servers/{", "/os-server-groups/{", "/os-volumes_boot/{", "/os-keypairs/{", "/os-volumes/{",
    "/os-snapshots/{", "/os-floating-ips/{", "/os-security-groups/{",
)  # fmt: skip
# What an administrator may touch from another project, and what names things of the own one there.
_OF_ANY_PROJECT = ("/servers/{", "/os-server-groups/{")
_BY_OWN_NAMES = ("addSecurityGroup", "removeSecurityGroup")
_NAMES_A_PROJECT = ("/os-quota-sets/{", "/os-simple-tenant-usage/{")
_BUILDING_BLOCKS = tuple(r["name"] for r in policies.rules() if "operations" not in r)

_decided: Counter[str] = Counter()


@pytest.fixture(scope="module")
def callers(cloud: Cloud) -> dict[str, World]:
    admin = cloud.connect("admin").identity
    admin.create_role(name="visitor")
    for user, role, project in (
        ("visitor", "visitor", "demo"), ("looker", "reader", "demo"), ("leader", "manager", "demo"),
        ("other-member", "member", "other"), ("other-leader", "manager", "other"),
        ("robot", "service", "service"),
    ):  # fmt: skip
        cloud.add_user(user, role, project=project)
    owner = World(cloud, "admin", "demo")
    owner.reserve_hosts()
    return {
        "nobody": World(cloud, "visitor", "demo"),
        "reader": World(cloud, "looker", "demo"),
        "member": World(cloud, "demo"),
        "manager": World(cloud, "leader", "demo"),
        "admin": owner,
        "member elsewhere": World(cloud, "other-member", "other"),
        "manager elsewhere": World(cloud, "other-leader", "other"),
        "admin elsewhere": World(cloud, "admin"),
        "service": World(cloud, "robot", "service"),
    }


@pytest.fixture(scope="module")
def unscoped(cloud: Cloud) -> str:
    """A token of the member's without a project."""
    user = {"name": "demo", "domain": {"name": "Default"}, "password": cloud.passwords["demo"]}
    identity = {"methods": ["password"], "password": {"user": user}}
    answer = requests.post(
        f"http://127.0.0.1:{cloud.ports['companion']}/identity/v3/auth/tokens",
        json={"auth": {"identity": identity, "scope": "unscoped"}}, timeout=30,
    )  # fmt: skip
    return answer.headers["X-Subject-Token"]


@pytest.fixture(scope="module", autouse=True)
def coverage(say: Callable[[str], None]) -> Iterator[None]:
    """Says at the end how many rules were seen to hold."""
    yield
    whole = len(policies.rules()) - len(_BUILDING_BLOCKS)
    say(
        f"policy: {_decided['rules']} of {whole} rules decided as they should, "
        f"{_decided['answers']} times; {len(excused.RULES)} excused"
    )


def _guarded_by(rule: str) -> dict[str, Any] | None:
    """The operation that a rule is asked for by: a current one, if any."""
    found = [
        each
        for each in operations.present()
        if rule in each["policies"] and each["status"] != "always_error" and "alias_of" not in each
    ]
    found.sort(key=lambda each: each["status"] != "current")
    return found[0] if found else None


def _cases() -> list[Any]:
    cases = []
    for entry in policies.rules():
        rule = entry["name"]
        if rule in _BUILDING_BLOCKS or rule in CONSEQUENCES or rule in excused.RULES:
            continue
        operation = _guarded_by(rule)
        assert operation is not None, rule
        cases.append(pytest.param(rule, operation, id=rule))
    return cases


def _refusal(operation: dict[str, Any], role: str, *, own_project: bool = True) -> str | None:
    """The first of an operation's rules that turns a caller away."""
    enforcer = policies.contracts_enforcer()
    for rule in operation["policies"]:
        if not policies.verdict(enforcer, rule, role, own_project=own_project):
            return str(rule)
    return None


class Asking:
    """Asks for an operation as somebody, about things that the owner has just made."""

    def __init__(self, callers: dict[str, World], operation: dict[str, Any]) -> None:
        self._callers, self._operation = callers, operation
        self._version = operations.versions(operation)[1]

    def make(self) -> tuple[str, Any]:
        made: tuple[str, Any] = ASKED[key_of(self._operation)](
            self._callers["admin"], self._version
        )
        return made

    def ask(self, caller: str, made: tuple[str, Any], **more: Any) -> Any:
        _decided["answers"] += 1
        method, (path, body) = self._operation["method"], made
        return self._callers[caller].ask(method, path, body, version=self._version, **more)

    def succeeds(self, answer: Any) -> bool:
        """Whether somebody was let through."""
        return answer.status_code in operations.successes(self._operation, self._version)


def _told(answer: Any) -> str:
    return f"{answer.request.method} {answer.request.path_url}: {answer.text[:300]}"


@pytest.mark.parametrize(("rule", "operation"), _cases())
def test_a_rule_lets_those_through_that_it_names(callers, unscoped, rule, operation):
    asking = Asking(callers, operation)
    made = asking.make()
    for role in _IN_PROJECT:
        refusal = _refusal(operation, role)
        if refusal is not None:
            answer = asking.ask(role, made)
            assert answer.status_code == 403, f"{role}: {_told(answer)}"
            expected = f"Policy doesn't allow {refusal} to be performed."
            assert answer.json()["forbidden"]["message"] == expected
        else:
            answer = asking.ask(role, asking.make())
            # A keypair is its user's, not its project's.
            is_others = operation["path"].startswith("/os-keypairs/{") and role != "admin"
            done = answer.status_code == 404 if is_others else asking.succeeds(answer)
            assert done, f"{role}: {_told(answer)}"
    _check_outsiders(asking, operation, made, unscoped)
    _decided["rules"] += 1


def _check_outsiders(
    asking: Asking, operation: dict[str, Any], made: tuple[str, Any], unscoped: str
) -> None:
    """Who is in another project, in none, or a service, gets what the rules give to all."""
    path = operation["path"]
    for caller in ("member elsewhere", "manager elsewhere"):
        role = caller.split()[0]
        if path.startswith(_NAMES_A_PROJECT) and _refusal(operation, role, own_project=False):
            assert asking.ask(caller, made).status_code == 403
        elif path.startswith(_OF_A_PROJECT):
            answer = asking.ask(caller, made)
            assert answer.status_code == (403 if _refusal(operation, role) else 404), _told(answer)
    if path.startswith(_OF_ANY_PROJECT) and operation.get("action") not in _BY_OWN_NAMES:
        answer = asking.ask("admin elsewhere", asking.make())
        assert asking.succeeds(answer), _told(answer)
    if _refusal(operation, "service", own_project=False):
        answer = asking.ask("service", made)
        assert answer.status_code in (403, 404), _told(answer)
    answer = asking.ask("nobody", made, headers={"X-Auth-Token": unscoped})
    assert answer.status_code >= 400 or operation["policies"] == [], _told(answer)


@pytest.mark.parametrize(
    ("rule", "consequence"),
    [
        pytest.param(*each, id=each[0])
        for each in CONSEQUENCES.items()
        if each[0] not in excused.RULES
    ],
)
def test_a_rule_decides_what_is_done_or_shown(callers, rule, consequence: Consequence):
    for role in _IN_PROJECT:
        method, path, body = consequence.ask(callers["admin"])
        world = callers[role]

        answer = world.ask(method, path, body, version=consequence.version)

        _decided["answers"] += 1
        if role == "nobody" or (method != "GET" and role == "reader"):
            # Turned away before it comes to this rule.
            assert answer.status_code == 403, f"{role}: {_told(answer)}"
            continue
        if policies.allows(rule, role):
            assert answer.status_code < 300, f"{role}: {_told(answer)}"
        assert answer.status_code < 300 or answer.status_code == 403, f"{role}: {_told(answer)}"
        is_granted = answer.status_code < 300 and consequence.shows(world, answer)
        assert is_granted == policies.allows(rule, role), f"{role}: {_told(answer)}"
    _decided["rules"] += 1


def test_every_rule_is_asked_for_or_excused_with_a_reason():
    known = {entry["name"] for entry in policies.rules()} - set(_BUILDING_BLOCKS)
    asked = {case.values[0] for case in _cases()} | set(CONSEQUENCES)

    assert asked | set(excused.RULES) == known
    assert all(excused.RULES.values())
    assert len(_BUILDING_BLOCKS) == 11


@pytest.mark.parametrize("caller", ["member elsewhere", "manager elsewhere", "service"])
def test_no_list_shows_anything_of_another_project(callers, caller):
    owner, server = callers["admin"], callers["admin"].kept
    owner.migrating()
    group, keypair = owner.server_group(), owner.keypair()
    address = owner.address(server)

    for path in (
        "/servers", f"/servers?project_id={owner.project_id}", f"/servers?uuid={server}",
        f"/servers/detail?tenant_id={owner.project_id}", f"/servers/detail?ip={address}",
        "/servers/detail?name=kept", f"/servers/detail?user_id={owner.user_id}",
        "/servers?all_tenants=1", "/servers/detail?all_tenants=1", "/servers?all_tenants=0",
        "/servers?deleted=1", "/servers?changes-since=2020-01-01T00:00:00Z",
        "/os-server-groups", "/os-server-groups?all_projects=1",
        "/os-keypairs", f"/os-keypairs?user_id={owner.user_id}",
        "/os-migrations", f"/os-migrations?project_id={owner.project_id}",
        f"/os-migrations?instance_uuid={server}", "/os-simple-tenant-usage?detailed=1",
        f"/os-simple-tenant-usage/{owner.project_id}", f"/limits?tenant_id={owner.project_id}",
    ):  # fmt: skip
        shown = callers[caller].ask("GET", path)
        # What was asked for may stand in a refusal; what is behind it may not.
        text = shown.text if shown.status_code < 400 else shown.text.replace(server, "")
        for secret in (server, group, keypair, '"kept"'):
            assert secret not in text, f"{path}: {shown.text[:300]}"

# SPDX-License-Identifier: Apache-2.0
"""Policy decides as the Compute API's defaults say, and heeds an operator's file."""

import itertools
from collections import Counter

import pytest

from common import config
from common.context import RequestContext
from common.policy import Policy, PolicyForbids, list_rules
from tests.conformance import policies
from tests.unit.common.clocks import ManualClock


def caller(*roles: str, project: str = "p", user: str = "u") -> RequestContext:
    return RequestContext(
        request_id="req-1", user_id=user, project_id=project, roles=roles,
        is_admin="admin" in roles,
    )  # fmt: skip


@pytest.fixture
def policy() -> Policy:
    return Policy(config.load("test", [], []))


def test_rule_names_are_unique():
    names = [rule.name for rule in list_rules()]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("rule", "roles", "allowed"),
    [
        ("os_compute_api:servers:create", ("member", "reader"), True),
        ("os_compute_api:servers:create", ("reader",), False),
        ("os_compute_api:servers:show", ("reader",), True),
        ("os_compute_api:servers:show", (), False),
        ("os_compute_api:os-services:list", ("member", "reader"), False),
        ("os_compute_api:os-services:list", ("admin",), True),
        ("os_compute_api:extensions", (), True),
    ],
)
def test_defaults_decide_by_role(policy, rule, roles, allowed):
    assert policy.allows(caller(*roles), rule) is allowed


def test_another_project_is_for_administrators_only(policy):
    rule = "os_compute_api:servers:show"

    assert not policy.allows(caller("member", "reader"), rule, project_id="other")
    assert policy.allows(caller("admin"), rule, project_id="other")


def test_a_refusal_names_the_rule(policy):
    with pytest.raises(
        PolicyForbids,
        match=r"^Policy doesn't allow os_compute_api:os-services:list to be performed\.$",
    ):
        policy.check(caller("reader"), "os_compute_api:os-services:list")


def test_a_token_without_a_project_may_nothing(policy):
    system = RequestContext(request_id="req-1", user_id="u", roles=("admin",), is_admin=True)

    assert not policy.allows(system, "os_compute_api:extensions")


def test_a_changed_file_holds_after_a_few_seconds(tmp_path):
    file, clock = tmp_path / "policy.yaml", ManualClock()
    file.write_text("{}\n")
    conf_file = tmp_path / "k.conf"
    conf_file.write_text(f"[oslo_policy]\npolicy_file = {file}\n")
    policy = Policy(config.load("test", ["--config-file", str(conf_file)], []), clock)
    rule = "os_compute_api:servers:create"
    assert policy.allows(caller("member"), rule)

    file.write_text(f'"{rule}": "user_id:only-me"\n')
    clock.advance(11)

    assert not policy.allows(caller("member"), rule)
    assert policy.allows(caller("member", user="only-me"), rule)


def test_every_rule_of_the_contract_exists_with_its_scope():
    ours = {rule.name: list(rule.scope_types or ()) for rule in list_rules()}

    assert {rule["name"]: ours.get(rule["name"]) for rule in policies.rules()} == {
        rule["name"]: rule["scope"] for rule in policies.rules()
    }


def test_every_rule_decides_as_the_contracts_does():
    ours = policies.enforcer(list_rules())
    theirs = policies.contracts_enforcer()
    said = Counter()
    for rule in policies.rules():
        for role in policies.ROLES:
            for own_project, own_user in itertools.product((True, False), repeat=2):
                case = {"own_project": own_project, "own_user": own_user}
                wanted = policies.verdict(theirs, rule["name"], role, **case)
                said[wanted] += 1
                assert policies.verdict(ours, rule["name"], role, **case) == wanted, (
                    rule["name"], role, case,
                )  # fmt: skip
    assert min(said[True], said[False]) > 1000

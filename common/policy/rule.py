# SPDX-License-Identifier: Apache-2.0
"""How a policy rule is written down: name, default, what it is about, which requests it guards."""

from oslo_policy import policy


def rule(name: str, check: str, description: str, *requests: str) -> policy.RuleDefault:
    """A rule for requests such as `POST /servers/{id}/action reboot`.

    Every rule is for tokens of a project; others are refused (scope).
    """
    if not requests:
        return policy.RuleDefault(name, check, description or name, scope_types=["project"])
    operations: list[policy.Operation] = [
        {"method": method, "path": path}
        for method, path in (request.split(" ", 1) for request in requests)
    ]
    return policy.DocumentedRuleDefault(
        name, check, description or name, operations, scope_types=["project"]
    )

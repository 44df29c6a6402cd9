# SPDX-License-Identifier: Apache-2.0
"""The contract's policy rules, and what they say about a caller."""

import functools
import json
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

_FILE = Path(__file__).parent / "contract" / "policies.json"
# Every role with those that it implies.
ROLES = {
    "nobody": (),
    "reader": ("reader",),
    "member": ("member", "reader"),
    "manager": ("manager", "member", "reader"),
    "admin": ("admin", "manager", "member", "reader"),
    "service": ("service",),
}


@functools.cache
def rules() -> list[dict[str, Any]]:
    """Every rule as the contract writes it."""
    found: list[dict[str, Any]] = json.loads(_FILE.read_text())["policies"]
    return found


@functools.cache
def contracts_enforcer() -> policy.Enforcer:
    """Decides by the contract's rules."""
    return enforcer([policy.RuleDefault(rule["name"], rule["default"]) for rule in rules()])


def enforcer(defaults: list[Any]) -> policy.Enforcer:
    """Something that decides by these rules alone."""
    conf = cfg.ConfigOpts()
    conf([])
    made = policy.Enforcer(conf)
    made.register_defaults(defaults)
    return made


def verdict(
    by: policy.Enforcer, rule: str, role: str, *, own_project: bool = True, own_user: bool = True
) -> bool:
    """Whether a caller with `role` may do what `rule` guards."""
    caller = {
        "roles": list(ROLES[role]), "project_id": "p", "user_id": "u", "is_admin": role == "admin",
    }  # fmt: skip
    target = {
        "project_id": "p" if own_project else "other", "user_id": "u" if own_user else "other",
    }  # fmt: skip
    return bool(by.enforce(rule, target, caller))


def allows(rule: str, role: str) -> bool:
    """The contract's verdict about what is the caller's own."""
    return verdict(contracts_enforcer(), rule, role)

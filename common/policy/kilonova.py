# SPDX-License-Identifier: Apache-2.0
"""What is ours alone: the task journal and the health of daemons."""

from common.policy.rule import rule

RULES = [
    rule(
        "kilonova:tasks",
        "rule:context_is_admin",
        "List and show tasks of the journal.",
        "GET /kilonova/tasks",
        "GET /kilonova/tasks/{id}",
    ),
    rule(
        "kilonova:status",
        "rule:context_is_admin",
        "See how every daemon is.",
        "GET /kilonova/status",
    ),
]

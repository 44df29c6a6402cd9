# SPDX-License-Identifier: Apache-2.0
"""The building blocks that other rules refer to.

Roles imply one another (admin, manager, member, reader) in the identity service.
"""

from oslo_policy import policy

RULES = [
    policy.RuleDefault("context_is_admin", "role:admin", "Who counts as administrator."),
    policy.RuleDefault(
        "admin_or_owner",
        "is_admin:True or project_id:%(project_id)s",
        "The old default; kept for policy files that refer to it.",
    ),
    policy.RuleDefault(
        "admin_api", "is_admin:True", "The old default; kept for policy files that refer to it."
    ),
    policy.RuleDefault(
        "project_manager_api",
        "role:manager and project_id:%(project_id)s",
        "Managers of the project.",
    ),
    policy.RuleDefault(
        "project_member_api",
        "role:member and project_id:%(project_id)s",
        "Members of the project.",
    ),
    policy.RuleDefault(
        "project_reader_api",
        "role:reader and project_id:%(project_id)s",
        "Readers of the project.",
    ),
    policy.RuleDefault("service_api", "role:service", "Other services."),
    policy.RuleDefault(
        "project_manager_or_admin",
        "rule:project_manager_api or rule:context_is_admin",
        "Managers of the project, and administrators.",
    ),
    policy.RuleDefault(
        "project_member_or_admin",
        "rule:project_member_api or rule:context_is_admin",
        "Members of the project, and administrators.",
    ),
    policy.RuleDefault(
        "project_reader_or_admin",
        "rule:project_reader_api or rule:context_is_admin",
        "Readers of the project, and administrators.",
    ),
    policy.RuleDefault(
        "service_or_admin",
        "rule:service_api or rule:context_is_admin",
        "Other services, and administrators.",
    ),
]

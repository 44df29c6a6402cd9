# SPDX-License-Identifier: Apache-2.0
"""What belongs to users and projects: keypairs, quotas, limits, usage, server groups."""

from common.policy.rule import rule

RULES = [
    rule(
        "os_compute_api:os-keypairs:index",
        "(rule:context_is_admin) or user_id:%(user_id)s",
        "allows GET /os-keypairs",
        "GET /os-keypairs",
    ),
    rule(
        "os_compute_api:os-keypairs:create",
        "(rule:context_is_admin) or user_id:%(user_id)s",
        "allows POST /os-keypairs",
        "POST /os-keypairs",
    ),
    rule(
        "os_compute_api:os-keypairs:delete",
        "(rule:context_is_admin) or user_id:%(user_id)s",
        "allows DELETE /os-keypairs/{id}",
        "DELETE /os-keypairs/{id}",
    ),
    rule(
        "os_compute_api:os-keypairs:show",
        "(rule:context_is_admin) or user_id:%(user_id)s",
        "allows GET /os-keypairs/{id}",
        "GET /os-keypairs/{id}",
    ),
    rule(
        "os_compute_api:os-quota-sets:update",
        "rule:context_is_admin",
        "allows PUT /os-quota-sets/{id}",
        "PUT /os-quota-sets/{id}",
    ),
    rule(
        "os_compute_api:os-quota-sets:defaults",
        "@",
        "allows GET /os-quota-sets/{id}/defaults",
        "GET /os-quota-sets/{id}/defaults",
    ),
    rule(
        "os_compute_api:os-quota-sets:show",
        "rule:project_reader_or_admin",
        "allows GET /os-quota-sets/{id}",
        "GET /os-quota-sets/{id}",
    ),
    rule(
        "os_compute_api:os-quota-sets:delete",
        "rule:context_is_admin",
        "allows DELETE /os-quota-sets/{id}",
        "DELETE /os-quota-sets/{id}",
    ),
    rule(
        "os_compute_api:os-quota-sets:detail",
        "rule:project_reader_or_admin",
        "allows GET /os-quota-sets/{id}/detail",
        "GET /os-quota-sets/{id}/detail",
    ),
    rule(
        "os_compute_api:os-quota-class-sets:show",
        "rule:context_is_admin",
        "allows GET /os-quota-class-sets/{id}",
        "GET /os-quota-class-sets/{id}",
    ),
    rule(
        "os_compute_api:os-quota-class-sets:update",
        "rule:context_is_admin",
        "allows PUT /os-quota-class-sets/{id}",
        "PUT /os-quota-class-sets/{id}",
    ),
    rule(
        "os_compute_api:limits",
        "@",
        "allows GET /limits",
        "GET /limits",
    ),
    rule(
        "os_compute_api:limits:other_project",
        "rule:context_is_admin",
        "ask for limits of another project with tenant_id",
        "GET /limits ",
    ),
    rule(
        "os_compute_api:os-simple-tenant-usage:show",
        "rule:project_reader_or_admin",
        "allows GET /os-simple-tenant-usage/{id}",
        "GET /os-simple-tenant-usage/{id}",
    ),
    rule(
        "os_compute_api:os-simple-tenant-usage:list",
        "rule:context_is_admin",
        "allows GET /os-simple-tenant-usage",
        "GET /os-simple-tenant-usage",
    ),
    rule(
        "os_compute_api:os-server-groups:create",
        "rule:project_member_or_admin",
        "allows POST /os-server-groups",
        "POST /os-server-groups",
    ),
    rule(
        "os_compute_api:os-server-groups:delete",
        "rule:project_member_or_admin",
        "allows DELETE /os-server-groups/{id}",
        "DELETE /os-server-groups/{id}",
    ),
    rule(
        "os_compute_api:os-server-groups:index",
        "rule:project_reader_or_admin",
        "allows GET /os-server-groups",
        "GET /os-server-groups",
    ),
    rule(
        "os_compute_api:os-server-groups:index:all_projects",
        "rule:context_is_admin",
        "all_projects query for server groups",
        "GET /os-server-groups ",
    ),
    rule(
        "os_compute_api:os-server-groups:show",
        "rule:project_reader_or_admin",
        "allows GET /os-server-groups/{id}",
        "GET /os-server-groups/{id}",
    ),
]

# SPDX-License-Identifier: Apache-2.0
"""Flavors, their extra specs, and who may use them."""

from common.policy.rule import rule

RULES = [
    rule(
        "os_compute_api:os-flavor-access:add_tenant_access",
        "rule:context_is_admin",
        "allows POST /flavors/{id}/action addTenantAccess",
        "POST /flavors/{id}/action addTenantAccess",
    ),
    rule(
        "os_compute_api:os-flavor-access:remove_tenant_access",
        "rule:context_is_admin",
        "allows POST /flavors/{id}/action removeTenantAccess",
        "POST /flavors/{id}/action removeTenantAccess",
    ),
    rule(
        "os_compute_api:os-flavor-access",
        "rule:context_is_admin",
        "allows GET /flavors/{flavor_id}/os-flavor-access",
        "GET /flavors/{flavor_id}/os-flavor-access",
    ),
    rule(
        "os_compute_api:os-flavor-extra-specs:show",
        "rule:project_reader_or_admin",
        "allows GET /flavors/{flavor_id}/os-extra_specs/{id}",
        "GET /flavors/{flavor_id}/os-extra_specs/{id}",
    ),
    rule(
        "os_compute_api:os-flavor-extra-specs:create",
        "rule:context_is_admin",
        "allows POST /flavors/{flavor_id}/os-extra_specs",
        "POST /flavors/{flavor_id}/os-extra_specs",
    ),
    rule(
        "os_compute_api:os-flavor-extra-specs:update",
        "rule:context_is_admin",
        "allows PUT /flavors/{flavor_id}/os-extra_specs/{id}",
        "PUT /flavors/{flavor_id}/os-extra_specs/{id}",
    ),
    rule(
        "os_compute_api:os-flavor-extra-specs:delete",
        "rule:context_is_admin",
        "allows DELETE /flavors/{flavor_id}/os-extra_specs/{id}",
        "DELETE /flavors/{flavor_id}/os-extra_specs/{id}",
    ),
    rule(
        "os_compute_api:os-flavor-extra-specs:index",
        "rule:project_reader_or_admin",
        "list extra specs; also gates extra_specs in flavor views (2.61)",
        "POST /flavors ",
        "GET /flavors/detail ",
        "GET /flavors/{id} ",
        "PUT /flavors/{id} ",
        "GET /flavors/{flavor_id}/os-extra_specs",
    ),
    rule(
        "os_compute_api:os-flavor-manage:create",
        "rule:context_is_admin",
        "allows POST /flavors",
        "POST /flavors",
    ),
    rule(
        "os_compute_api:os-flavor-manage:update",
        "rule:context_is_admin",
        "allows PUT /flavors/{id}",
        "PUT /flavors/{id}",
    ),
    rule(
        "os_compute_api:os-flavor-manage:delete",
        "rule:context_is_admin",
        "allows DELETE /flavors/{id}",
        "DELETE /flavors/{id}",
    ),
]

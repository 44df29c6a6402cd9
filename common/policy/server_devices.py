# SPDX-License-Identifier: Apache-2.0
"""Interfaces, volumes and shares of servers."""

from common.policy.rule import rule

RULES = [
    rule(
        "os_compute_api:os-attach-interfaces:list",
        "rule:project_reader_or_admin",
        "allows GET /servers/{server_id}/os-interface",
        "GET /servers/{server_id}/os-interface",
    ),
    rule(
        "os_compute_api:os-attach-interfaces:show",
        "rule:project_reader_or_admin",
        "allows POST /servers/{server_id}/os-interface; GET /servers/{server_id}/os-interface/{id}",
        "POST /servers/{server_id}/os-interface",
        "GET /servers/{server_id}/os-interface/{id}",
    ),
    rule(
        "os_compute_api:os-attach-interfaces:create",
        "rule:project_member_or_admin",
        "allows POST /servers/{server_id}/os-interface",
        "POST /servers/{server_id}/os-interface",
    ),
    rule(
        "os_compute_api:os-attach-interfaces:delete",
        "rule:project_member_or_admin",
        "allows DELETE /servers/{server_id}/os-interface/{id}",
        "DELETE /servers/{server_id}/os-interface/{id}",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:index",
        "rule:project_reader_or_admin",
        "allows GET /servers/{server_id}/os-volume_attachments",
        "GET /servers/{server_id}/os-volume_attachments",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:create",
        "rule:project_member_or_admin",
        "allows POST /servers/{server_id}/os-volume_attachments",
        "POST /servers/{server_id}/os-volume_attachments",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:show",
        "rule:project_reader_or_admin",
        "allows GET /servers/{server_id}/os-volume_attachments/{id}",
        "GET /servers/{server_id}/os-volume_attachments/{id}",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:update",
        "rule:project_member_or_admin",
        "change delete_on_termination (2.85)",
        "PUT /servers/{server_id}/os-volume_attachments/{id} ",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:swap",
        "rule:service_or_admin",
        "swap the volume behind an attachment; meant for the volume service",
        "PUT /servers/{server_id}/os-volume_attachments/{id} ",
    ),
    rule(
        "os_compute_api:os-volumes-attachments:delete",
        "rule:project_member_or_admin",
        "allows DELETE /servers/{server_id}/os-volume_attachments/{id}",
        "DELETE /servers/{server_id}/os-volume_attachments/{id}",
    ),
    rule(
        "os_compute_api:os-server-shares:index",
        "rule:project_reader_or_admin",
        "allows GET /servers/{server_id}/shares",
        "GET /servers/{server_id}/shares",
    ),
    rule(
        "os_compute_api:os-server-shares:create",
        "rule:project_member_or_admin",
        "allows POST /servers/{server_id}/shares",
        "POST /servers/{server_id}/shares",
    ),
    rule(
        "os_compute_api:os-server-shares:show",
        "rule:project_reader_or_admin",
        "allows GET /servers/{server_id}/shares/{id}",
        "GET /servers/{server_id}/shares/{id}",
    ),
    rule(
        "os_compute_api:os-server-shares:delete",
        "rule:project_member_or_admin",
        "allows DELETE /servers/{server_id}/shares/{id}",
        "DELETE /servers/{server_id}/shares/{id}",
    ),
    rule(
        "os_compute_api:os-assisted-volume-snapshots:create",
        "rule:service_or_admin",
        "allows POST /os-assisted-volume-snapshots",
        "POST /os-assisted-volume-snapshots",
    ),
    rule(
        "os_compute_api:os-assisted-volume-snapshots:delete",
        "rule:service_or_admin",
        "allows DELETE /os-assisted-volume-snapshots/{id}",
        "DELETE /os-assisted-volume-snapshots/{id}",
    ),
]

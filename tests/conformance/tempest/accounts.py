# SPDX-License-Identifier: Apache-2.0
"""Projects and users for Tempest, made by the identity service's API before the run."""

import json
import secrets
from typing import Any

from openstack.connection import Connection

_PREFIX = "tempest"
_ROLES = ("member", "reader", "manager", "service", "admin")


def make(connection: Connection, *, count: int) -> str:
    """`count` projects with a user a role, and an administrator: the text of accounts.yaml.

    Classes that run at one time need projects of their own, up to three each. Again: projects stay,
    users are replaced and get new passwords.
    """
    identity = connection.identity
    domain = identity.find_domain("Default", ignore_missing=False).id
    roles = {role.name: role for role in identity.roles()}
    for name in _ROLES:
        if name not in roles:
            roles[name] = identity.create_role(name=name)

    def account(project: Any, *wanted: str) -> dict[str, Any]:
        name, password = f"{project.name}-{wanted[0]}", secrets.token_urlsafe(16)
        for old in identity.users(name=name, domain_id=domain):
            identity.delete_user(old)
        user = identity.create_user(name=name, password=password, domain_id=domain)
        for role in wanted:
            identity.assign_project_role_to_user(project, user, roles[role])
        return {
            "username": name, "password": password, "project_name": project.name,
            "domain_name": "Default", "roles": list(wanted),
        }  # fmt: skip

    found = []
    for number in range(count):
        project = _project(connection, f"{_PREFIX}-{number}", domain)
        wanted = ["member", "reader", "manager", *(["service"] if number == 0 else [])]
        found += [account(project, role) for role in wanted]
    found.append(account(_project(connection, f"{_PREFIX}-admin", domain), "admin"))
    return json.dumps(found, indent=2) + "\n"  # JSON is YAML


def _project(connection: Connection, name: str, domain: str) -> Any:
    known = next(iter(connection.identity.projects(name=name, domain_id=domain)), None)
    return known or connection.identity.create_project(name=name, domain_id=domain)

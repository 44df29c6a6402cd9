# SPDX-License-Identifier: Apache-2.0
"""What the Compute API once had and has removed: 410 at every microversion.

Paths and methods are the contract's operations of status `gone`, but for those of resources that
have other methods left: these say so themselves.
"""

from common.errors import Gone
from services.api.actions import Actions

# Methods by path; a path's parameters have any value.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "/os-agents": (
        "GET",
        "POST",
    ),
    "/os-agents/{id}": (
        "PUT",
        "DELETE",
    ),
    "/os-cells": (
        "POST",
        "GET",
    ),
    "/os-cells/capacities": ("GET",),
    "/os-cells/detail": ("GET",),
    "/os-cells/info": ("GET",),
    "/os-cells/sync_instances": ("POST",),
    "/os-cells/{id}": (
        "GET",
        "PUT",
        "DELETE",
    ),
    "/os-cells/{id}/capacities": ("GET",),
    "/os-certificates": ("POST",),
    "/os-certificates/{id}": ("GET",),
    "/os-cloudpipe": (
        "GET",
        "POST",
    ),
    "/os-cloudpipe/{id}": ("PUT",),
    "/os-fixed-ips/{id}": ("GET",),
    "/os-floating-ip-dns": ("GET",),
    "/os-floating-ip-dns/{id}": (
        "PUT",
        "DELETE",
    ),
    "/os-floating-ip-dns/{id}/entries/{item}": (
        "GET",
        "PUT",
        "DELETE",
    ),
    "/os-floating-ips-bulk": (
        "GET",
        "POST",
    ),
    "/os-floating-ips-bulk/{id}": (
        "GET",
        "PUT",
    ),
    "/os-fping": ("GET",),
    "/os-fping/{id}": ("GET",),
    "/os-networks/add": ("POST",),
    "/os-security-group-default-rules": (
        "GET",
        "POST",
    ),
    "/os-security-group-default-rules/{id}": (
        "GET",
        "DELETE",
    ),
    "/servers/{server_id}/consoles": (
        "GET",
        "POST",
    ),
    "/servers/{server_id}/consoles/{item}": (
        "GET",
        "DELETE",
    ),
    "/servers/{server_id}/os-virtual-interfaces": ("GET",),
}

# Names of actions by path.
ACTIONS: dict[str, tuple[str, ...]] = {
    "/os-fixed-ips/{id}/action": ("reserve", "unreserve"),
    "/os-networks/{network_id}/action": (
        "disassociate",
        "disassociate_host",
        "disassociate_project",
        "associate_host",
    ),
}


class Removed:
    """Answers 410 to the methods that a removed resource had."""

    def __init__(self, methods: tuple[str, ...]) -> None:
        for method in methods:
            setattr(self, f"on_{method.lower()}", answer_gone)


def removed_actions(names: tuple[str, ...]) -> Actions:
    """Answers 410 to the actions that a removed resource had."""
    return Actions(dict.fromkeys(names, answer_gone))


def answer_gone(*anything: object, **parts: str) -> None:
    """The responder of a method that was removed; also of a resource that has others left."""
    raise Gone()

# SPDX-License-Identifier: Apache-2.0
"""What the Network API says about itself: versions, extensions."""

import falcon

from services.companion.web import fields
from services.companion.web.body import answer
from services.companion.web.faults import Fault

# What clients look for before they use a feature; only what is really here.
_EXTENSIONS = {
    "allowed-address-pairs": "Allowed Address Pairs",
    "auto-allocated-topology": "Auto Allocated Topology Services",
    "binding": "Port Binding",
    "binding-extended": "Port Bindings Extended",
    "dns-integration": "DNS Integration",
    "external-net": "Neutron external network",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "router": "Neutron L3 Router",
    "security-group": "security-group",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-timestamp": "Resource timestamps",
}


class NetworkVersions:
    """`GET /network` and `GET /network/v2.0`."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every version: one."""
        link = {"rel": "self", "href": f"{req.context.base_url}/network/v2.0/"}
        answer(resp, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The resources of version 2.0."""
        base = f"{req.context.base_url}/network/v2.0"
        resources = [
            {"name": name, "collection": f"{name}s",
             "links": [{"rel": "self", "href": f"{base}/{name}s"}]}
            for name in ("network", "subnet", "port")
        ]  # fmt: skip
        answer(resp, {"resources": resources})


class Extensions:
    """`GET /v2.0/extensions[/{alias}]`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of them."""
        answer(resp, {"extensions": [_show(alias) for alias in _EXTENSIONS]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        """One of them; clients ask to learn whether it is here."""
        if alias not in _EXTENSIONS:
            words = f"Extension with alias {fields.shown(alias)} does not exist"
            raise Fault(404, words, kind="ExtensionNotFound")
        answer(resp, {"extension": _show(alias)})


def _show(alias: str) -> dict[str, object]:
    name = _EXTENSIONS[alias]
    return {
        "alias": alias,
        "name": name,
        "description": name,
        "updated": "2026-01-01T00:00:00-00:00",
        "links": [],
    }

# SPDX-License-Identifier: Apache-2.0
"""Version documents: where clients begin."""

from typing import Any

import falcon

from services.companion.web.body import answer


class IdentityVersions:
    """`GET /identity` (300) and `GET /identity/v3` (200)."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every version: one."""
        answer(resp, {"versions": {"values": [_version(req)]}}, 300)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Version 3."""
        answer(resp, {"version": _version(req)})


def _version(req: falcon.Request) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{req.context.base_url}/identity/v3/"}],
        "media-types": [
            {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}
        ],
    }

# SPDX-License-Identifier: Apache-2.0
"""What the Shared File Systems API says about itself: its version, and the one type of shares."""

from typing import Any

import falcon

from services.companion.share.call import BASE, NEWEST, OLDEST, ROOT
from services.companion.web.body import answer
from services.companion.web.faults import Fault
from services.companion.web.fields import shown

_UPDATED = "2026-01-01T00:00:00Z"
TYPE_ID, TYPE_NAME = "7f1c0a52-6c0b-4a87-9d2e-0d6c1b8f5a11", "default"


class ShareVersions:
    """`GET /share` (300) and `GET /share/v2`."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every version: one."""
        media = {"base": "application/json",
                 "type": "application/vnd.openstack.share+json;version=1"}  # fmt: skip
        version = {
            "id": "v2.0", "status": "CURRENT", "version": f"2.{NEWEST}",
            "min_version": f"2.{OLDEST}", "updated": _UPDATED, "media-types": [media],
            "links": [{"rel": "self", "href": f"{req.context.base_url}{BASE}/"}],
        }  # fmt: skip
        answer(resp, {"versions": [version]}, 300 if req.path == ROOT else 200)


class ShareTypes:
    """`GET /v2/types`, `/types/default` and `/types/{type_id}`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of them: one."""
        answer(resp, {"share_types": [_type()], "volume_types": [_type()]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, type_id: str) -> None:
        """By its id, or as `default`."""
        if type_id not in (TYPE_ID, "default"):
            raise Fault(404, f"Share type {shown(type_id)} could not be found.")
        answer(resp, {"share_type": _type(), "volume_type": _type()})


def _type() -> dict[str, Any]:
    required = {"driver_handles_share_servers": "False"}
    return {
        "id": TYPE_ID, "name": TYPE_NAME, "description": None, "is_default": True,
        "share_type_access:is_public": True, "os-share-type-access:is_public": True,
        "required_extra_specs": required, "extra_specs": {**required, "snapshot_support": "False"},
    }  # fmt: skip

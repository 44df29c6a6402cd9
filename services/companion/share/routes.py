# SPDX-License-Identifier: Apache-2.0
"""Every URL of the Shared File Systems API, and what stands behind them."""

from typing import Any

import falcon

from services.companion.share.access import AccessRules, ShareActions
from services.companion.share.call import BASE, ROOT
from services.companion.share.documents import ShareTypes, ShareVersions
from services.companion.share.locks import Locks
from services.companion.share.parts import Parts
from services.companion.share.shares import ExportLocations, Shares


def install(app: falcon.App[Any, Any], parts: Parts) -> None:
    """Serve the Shared File Systems API below /share."""
    shares, types, rules, locks = (
        Shares(parts), ShareTypes(), AccessRules(parts), Locks(parts),
    )  # fmt: skip
    locations, versions = ExportLocations(parts), ShareVersions()
    routes: list[tuple[str, object, str | None]] = [
        ("/shares", shares, None),
        ("/shares/detail", shares, "detail"),
        ("/shares/{share_id}", shares, "one"),
        ("/shares/{share_id}/action", ShareActions(parts), None),
        ("/shares/{share_id}/export_locations", locations, None),
        ("/shares/{share_id}/export_locations/{location_id}", locations, "one"),
        ("/share-access-rules", rules, None),
        ("/share-access-rules/{rule_id}", rules, "one"),
        ("/resource-locks", locks, None),
        ("/resource-locks/{lock_id}", locks, "one"),
        ("/types", types, None),
        ("/types/{type_id}", types, "one"),
    ]
    for path in (ROOT, BASE):
        app.add_route(path, versions)
    for path, resource, suffix in routes:
        app.add_route(f"{BASE}{path}", resource, suffix=suffix)

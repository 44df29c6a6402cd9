# SPDX-License-Identifier: Apache-2.0
"""Every URL of the Image API."""

from typing import Any

import falcon

from common.clock import Clock
from services.companion.image.documents import ImageVersions, Info, Schemas, Tasks
from services.companion.image.files import Files, ImageFile, recover
from services.companion.image.images import ImageActions, Images
from services.companion.image.sharing import Members, Tags
from services.companion.settings import Settings
from services.companion.store.engine import Store

BASE = "/image/v2"


def install(app: falcon.App[Any, Any], store: Store, clock: Clock, settings: Settings) -> Files:
    """Serve the Image API below /image. Where images' data is, volumes want to know, too."""
    files = Files(settings.data_path / "images", settings.max_image_bytes)
    recover(store, files)
    images, members = Images(store, clock, files), Members(store, clock)
    app.add_route("/image", ImageVersions())
    app.add_route("/image/versions", ImageVersions())
    app.add_route(f"{BASE}/images", images)
    one = f"{BASE}/images/{{image_id}}"
    app.add_route(one, images, suffix="one")
    app.add_route(f"{one}/file", ImageFile(store, clock, files))
    app.add_route(f"{one}/actions/{{action}}", ImageActions(store))
    app.add_route(f"{one}/members", members)
    app.add_route(f"{one}/members/{{member_id}}", members, suffix="one")
    app.add_route(f"{one}/tags/{{tag}}", Tags(store))
    app.add_route(f"{one}/tasks", Tasks(store))
    app.add_route(f"{BASE}/schemas/{{name}}", Schemas())
    app.add_route(f"{BASE}/info/{{name}}", Info())
    return files

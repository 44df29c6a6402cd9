# SPDX-License-Identifier: Apache-2.0
"""Version documents: what there is to talk to. They need no token."""

from typing import Any

import falcon

from common.errors import NotFound
from services.api.declare.version import FIRST, LAST, MAJOR

_DOCS = {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
# Dates are part of the published documents; clients compare nothing with them.
_KNOWN: dict[str, dict[str, str]] = {
    "v2": {
        "id": "v2.0", "status": "DEPRECATED", "version": "", "min_version": "",
        "updated": "2025-07-04T12:00:00Z",
    },
    "v2.1": {
        "id": "v2.1", "status": "CURRENT", "version": f"{MAJOR}.{LAST}",
        "min_version": f"{MAJOR}.{FIRST}", "updated": "2013-07-23T11:33:21Z",
    },
}  # fmt: skip
_MEDIA = "application/vnd.openstack.compute+json;version="


def _summary(mount: str, root: str) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{root}/{mount}/"}]
    return {**_KNOWN[mount], "links": links}


def _media_types(mount: str) -> list[dict[str, str]]:
    version = "2.1" if mount == "v2.1" else "2"
    return [{"base": "application/json", "type": _MEDIA + version}]


def document(mount: str, root: str) -> dict[str, Any]:
    """The document of one version."""
    shown = _summary(mount, root)
    shown["links"].append(_DOCS)
    return {"version": {**shown, "media-types": _media_types(mount)}}


class Root:
    """`GET /`: every version."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"versions": [_summary(mount, req.context.root) for mount in _KNOWN]}


class Version:
    """`GET /v2.1` and `GET /v2`: one version."""

    def __init__(self, mount: str) -> None:
        self._mount = mount

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = document(self._mount, req.context.root)


class VersionById:
    """`GET /v2.1/versions/{id}`: one version, with a token."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, version_id: str) -> None:
        for mount, known in _KNOWN.items():
            if known["id"] == version_id:
                resp.media = document(mount, req.context.root)
                return
        raise NotFound()


def choices(req: falcon.Request, resp: falcon.Response) -> None:
    """Any path outside the versions: which there are."""
    resp.status = falcon.HTTP_300
    path = req.context.asked_path.lstrip("/")
    resp.media = {
        "choices": [
            {
                "id": known["id"],
                "status": known["status"],
                "links": [{"rel": "self", "href": f"{req.context.root}/{mount}/{path}"}],
                "media-types": _media_types(mount),
            }
            for mount, known in _KNOWN.items()
        ]
    }

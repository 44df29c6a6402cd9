# SPDX-License-Identifier: Apache-2.0
"""What the Image API says about itself: versions, schemas, stores, import methods."""

from typing import Any

import falcon

from services.companion.identity.callers import caller_of
from services.companion.image import attributes, records
from services.companion.store.engine import Store
from services.companion.web.body import answer
from services.companion.web.faults import Fault

_TEXT = {"type": ["null", "string"]}
_NUMBER = {"type": ["null", "integer"], "readOnly": True}
_IMAGE = {
    "name": "image",
    "properties": {
        "id": {"type": "string", "description": "An identifier for the image"},
        "name": {**_TEXT, "maxLength": 255},
        "status": {"type": "string", "readOnly": True},
        "visibility": {"type": "string", "enum": list(attributes.VISIBILITIES)},
        "protected": {"type": "boolean"},
        "os_hidden": {"type": "boolean"},
        "checksum": {**_TEXT, "readOnly": True},
        "os_hash_algo": {**_TEXT, "readOnly": True},
        "os_hash_value": {**_TEXT, "readOnly": True},
        "owner": {**_TEXT, "maxLength": 255},
        "size": _NUMBER,
        "virtual_size": _NUMBER,
        "container_format": {**_TEXT, "enum": [None, *attributes.CONTAINER_FORMATS]},
        "disk_format": {**_TEXT, "enum": [None, *attributes.DISK_FORMATS]},
        "created_at": {"type": "string", "readOnly": True},
        "updated_at": {"type": "string", "readOnly": True},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
        "min_ram": {"type": "integer"},
        "min_disk": {"type": "integer"},
        "self": {"type": "string", "readOnly": True},
        "file": {"type": "string", "readOnly": True},
        "schema": {"type": "string", "readOnly": True},
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
_MEMBER = {
    "name": "member",
    "properties": {
        name: {"type": "string"}
        for name in ("member_id", "image_id", "status", "created_at", "updated_at", "schema")
    },
}


def _list_schema(plural: str, item: dict[str, Any]) -> dict[str, Any]:
    properties = {
        plural: {"type": "array", "items": item},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    }
    return {"name": plural, "properties": properties}


SCHEMAS = {
    "image": _IMAGE,
    "images": _list_schema("images", _IMAGE),
    "member": _MEMBER,
    "members": _list_schema("members", _MEMBER),
}
_INFO: dict[str, dict[str, Any]] = {
    "stores": {"stores": [{"id": "file", "default": True, "description": "Local files"}]},
    "import": {
        "import-methods": {
            "description": "Import methods available.",
            "type": "array",
            "value": [],
        }
    },
}


class ImageVersions:
    """`GET /image` (300)."""

    public = ("GET",)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Every version, the newest first."""
        link = {"rel": "self", "href": f"{req.context.base_url}/image/v2/"}
        versions = [
            {"id": f"v2.{minor}", "status": "SUPPORTED", "links": [link]}
            for minor in range(9, -1, -1)
        ]
        versions[0]["status"] = "CURRENT"
        answer(resp, {"versions": versions}, 300 if req.path == "/image" else 200)


class Schemas:
    """`GET /v2/schemas/{name}`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The JSON schema of an answer."""
        if name not in SCHEMAS:
            raise Fault(404, "The resource could not be found.")
        answer(resp, SCHEMAS[name])


class Info:
    """`GET /v2/info/{stores,import}`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """What this deployment offers."""
        if name not in _INFO:
            raise Fault(404, "The resource could not be found.")
        answer(resp, _INFO[name])


class Tasks:
    """`GET /v2/images/{id}/tasks`: no task outlives its request here."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """An empty list, for an image that is there."""
        with self._store.read() as conn:
            records.find(conn, caller_of(req), image_id)
        answer(resp, {"tasks": []})

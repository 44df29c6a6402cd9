# SPDX-License-Identifier: Apache-2.0
"""`/images` until 2.35, its metadata until 2.38: the image service, in the Compute API's words.

Every call goes to the image service with the caller's own token.
"""

from typing import Any
from urllib.parse import quote

from common.clients.image import UserImageClient, image_meta
from common.clients.session import Refused
from common.errors import Forbidden, ImageNotFound, Invalid, KilonovaError, NotFound
from services.api.call import ApiCall
from services.api.declare.request import LENIENT_QUERY, Body, Query
from services.api.declare.types import ANYTHING, Field, Plain, integer, mapping, string
from services.api.declare.view import Raw
from services.api.responder import responder

_UNTIL = "2.35"
_METADATA_UNTIL = "2.38"
_OBJECT = Raw(Plain({"type": "object"}))
_COUNT = integer(1, texts=True, least_length=1)
LIST = Query("image-list", [
    *(Field(name, Plain({"type": "string"}))
      for name in ("name", "status", "changes-since", "server", "type", "minRam", "minDisk",
                   "marker")),
    Field("limit", _COUNT), Field("page_size", _COUNT), Field("offset", _COUNT),
], strict_since=None, pattern=("^property-.*$", ANYTHING))  # fmt: skip
_ITEM = string(most=255)
_KEY = "^[a-zA-Z0-9-_:. ]{1,255}$"
METADATA = Body.of("image-metadata", "metadata", mapping(_KEY, _ITEM))
ITEM = Body.of("image-metadata-item", "meta", mapping(_KEY, _ITEM, least=1, most=1))
_PATCH = "application/openstack-images-v2.1-json-patch"
# The image service's states in the Compute API's words, and how far each is.
_STATES = {
    "queued": ("SAVING", 25), "saving": ("SAVING", 50), "importing": ("SAVING", 50),
    "uploading": ("SAVING", 50), "active": ("ACTIVE", 100), "killed": ("ERROR", 0),
    "deleted": ("DELETED", 0), "pending_delete": ("DELETED", 0), "deactivated": ("UNKNOWN", 0),
}  # fmt: skip
_FILTERS = {
    "name": "name", "marker": "marker", "minRam": "min_ram", "minDisk": "min_disk",
    "type": "image_type",
}  # fmt: skip


def _links(image_id: str, call: ApiCall) -> list[dict[str, str]]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": f"{call.links.root}/images/{image_id}",
    }
    return [*call.links.both("images", image_id), alternate]


def _brief(image: dict[str, Any], call: ApiCall) -> dict[str, Any]:
    return {
        "id": image["id"], "name": image.get("name"), "links": _links(image["id"], call),
    }  # fmt: skip


def _detail(image: dict[str, Any], call: ApiCall) -> dict[str, Any]:
    status, progress = _STATES.get(image.get("status", ""), ("UNKNOWN", 0))
    metadata = image_meta(image).properties
    shown = {
        **_brief(image, call),
        "status": status,
        "progress": progress,
        "minDisk": image.get("min_disk") or 0,
        "minRam": image.get("min_ram") or 0,
        "metadata": metadata,
        "created": image.get("created_at"),
        "updated": image.get("updated_at"),
        "OS-EXT-IMG-SIZE:size": image.get("size") or 0,
    }
    server = metadata.get("instance_uuid")
    if server:
        shown["server"] = {"id": server, "links": call.links.both("servers", server)}
    if "auto_disk_config" in metadata:
        automatic = metadata["auto_disk_config"].lower() == "true"
        shown["OS-DCF:diskConfig"] = "AUTO" if automatic else "MANUAL"
    return shown


class _Gateway:
    """Calls of the image service with the caller's token, its refusals in our words."""

    def __init__(self, images: UserImageClient) -> None:
        self._images = images

    def ask(self, call: ApiCall, method: str, path: str, image_id: str = "", **more: Any) -> Any:
        """The answer's document, None when it has none."""
        try:
            answer = self._images.request(call.token, method, path, **more)
        except Refused as refused:
            raise _refusal(refused, image_id) from refused
        return answer.json() if answer.content else None

    def image(self, call: ApiCall, image_id: str) -> dict[str, Any]:
        """One image. Raises: ImageNotFound."""
        found: dict[str, Any] = self.ask(call, "GET", _path(image_id), image_id)
        return found

    def listed(self, call: ApiCall) -> tuple[list[dict[str, Any]], bool]:
        """Images as the query wants them, and whether there are more."""
        query: dict[str, Any] = {
            theirs: call.single(ours) for ours, theirs in _FILTERS.items() if ours in call.query
        }
        for key, values in call.links.query.items():
            if key.startswith("property-"):
                query[key.removeprefix("property-")] = values[-1]
        server = call.single("server")
        if server:  # its id, or a link to it
            query["instance_uuid"] = server.rstrip("/").rpartition("/")[2]
        status = call.single("status")
        if status:
            names = [name for name, (word, _) in _STATES.items() if word == status.upper()]
            query["status"] = f"in:{','.join(names or [status.lower()])}"
        if call.single("changes-since"):
            query["updated_at"] = f"gte:{call.single('changes-since')}"
        query["limit"] = min(int(call.single("limit") or call.max_limit), call.max_limit)
        document = self.ask(call, "GET", "/images", params=query)
        return document["images"], "next" in document


def _path(image_id: str) -> str:
    if image_id in {"", ".", ".."}:  # these would name the list, or its folder
        raise ImageNotFound(image=image_id)
    return f"/images/{quote(image_id, safe='')}"


def _refusal(refused: Refused, image_id: str) -> KilonovaError:
    if refused.status == 404:
        return ImageNotFound(image=image_id)
    if refused.status in (401, 403):
        return Forbidden(f"Not authorized for image {image_id}.")
    return Invalid(str(refused))


class Images:
    """`/images`."""

    def __init__(self, images: UserImageClient) -> None:
        self._gateway = _Gateway(images)

    @responder(query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List images."""
        return self._page(call, _brief)

    @responder(query=LIST, returns=_OBJECT, until=_UNTIL)
    def on_get_detail(self, call: ApiCall) -> dict[str, Any]:
        """List images with details."""
        return self._page(call, _detail)

    def _page(self, call: ApiCall, show: Any) -> dict[str, Any]:
        images, has_more = self._gateway.listed(call)
        document: dict[str, Any] = {"images": [show(image, call) for image in images]}
        if has_more and "limit" in call.query:
            href = call.links.next_page(images[-1]["id"])
            document["images_links"] = [{"rel": "next", "href": href}]
        return document


class ImageById:
    """`/images/{image_id}`."""

    def __init__(self, images: UserImageClient) -> None:
        self._gateway = _Gateway(images)

    @responder(query=LENIENT_QUERY, returns=_OBJECT, until=_UNTIL)
    def on_get(self, call: ApiCall, image_id: str) -> dict[str, Any]:
        """Show an image."""
        return {"image": _detail(self._gateway.image(call, image_id), call)}

    @responder(status=204, until=_UNTIL)
    def on_delete(self, call: ApiCall, image_id: str) -> None:
        """Delete an image."""
        self._gateway.ask(call, "DELETE", _path(image_id), image_id)


class ImageMetadata:
    """`/images/{image_id}/metadata`."""

    def __init__(self, images: UserImageClient) -> None:
        self._gateway = _Gateway(images)

    @responder(query=LENIENT_QUERY, returns=_OBJECT, until=_METADATA_UNTIL)
    def on_get(self, call: ApiCall, image_id: str) -> dict[str, Any]:
        """List an image's metadata."""
        return {"metadata": self._metadata(call, image_id)}

    @responder(body=METADATA, returns=_OBJECT, until=_METADATA_UNTIL)
    def on_post(self, call: ApiCall, image_id: str) -> dict[str, Any]:
        """Set items of an image's metadata."""
        had = self._metadata(call, image_id)
        return {"metadata": _patch(self._gateway, call, image_id, had, had | call.body)}

    @responder(body=METADATA, returns=_OBJECT, until=_METADATA_UNTIL)
    def on_put(self, call: ApiCall, image_id: str) -> dict[str, Any]:
        """Replace an image's metadata."""
        had = self._metadata(call, image_id)
        return {"metadata": _patch(self._gateway, call, image_id, had, call.body)}

    def _metadata(self, call: ApiCall, image_id: str) -> dict[str, str]:
        return image_meta(self._gateway.image(call, image_id)).properties


class ImageMetadataItem:
    """`/images/{image_id}/metadata/{key}`."""

    def __init__(self, images: UserImageClient) -> None:
        self._gateway = _Gateway(images)

    @responder(query=LENIENT_QUERY, returns=_OBJECT, until=_METADATA_UNTIL)
    def on_get(self, call: ApiCall, image_id: str, key: str) -> dict[str, Any]:
        """Show one item."""
        return {"meta": {key: self._having(call, image_id, key)[key]}}

    @responder(body=ITEM, returns=_OBJECT, until=_METADATA_UNTIL)
    def on_put(self, call: ApiCall, image_id: str, key: str) -> dict[str, Any]:
        """Set one item."""
        if key not in call.body:
            raise Invalid("Request body and URI mismatch")
        had = image_meta(self._gateway.image(call, image_id)).properties
        _patch(self._gateway, call, image_id, had, had | call.body)
        return {"meta": call.body}

    @responder(status=204, until=_METADATA_UNTIL)
    def on_delete(self, call: ApiCall, image_id: str, key: str) -> None:
        """Delete one item."""
        had = self._having(call, image_id, key)
        wanted = {name: value for name, value in had.items() if name != key}
        _patch(self._gateway, call, image_id, had, wanted)

    def _having(self, call: ApiCall, image_id: str, key: str) -> dict[str, str]:
        had = image_meta(self._gateway.image(call, image_id)).properties
        if key not in had:
            raise NotFound("Metadata item was not found")
        return had


def _patch(
    gateway: _Gateway, call: ApiCall, image_id: str, had: dict[str, str], wanted: dict[str, str]
) -> dict[str, str]:
    """Make the image's free properties `wanted`; them afterwards."""
    changes = [
        {"op": "replace" if key in had else "add", "path": _pointer(key), "value": value}
        for key, value in wanted.items()
        if had.get(key) != value
    ]
    changes += [{"op": "remove", "path": _pointer(key)} for key in had.keys() - wanted.keys()]
    if not changes:
        return had
    image = gateway.ask(
        call, "PATCH", _path(image_id), image_id, json=changes, headers={"Content-Type": _PATCH}
    )
    return image_meta(image).properties


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")

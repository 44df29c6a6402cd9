# SPDX-License-Identifier: Apache-2.0
"""The image service (Image API v2), as kilonova itself and on behalf of a user."""

import io
import threading
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote

from common.clients.session import Refused, ServiceSession
from common.clock import Clock, SystemClock
from common.errors import ImageNotFound, Unavailable
from common.objects.image import ImageMeta

_TYPE, _VERSION = "image", "v2"
_CHUNK_BYTES = 1 << 20
# What an image has of its own; everything else that it carries is a free property.
_OWN = frozenset(
    (
        "id", "name", "status", "disk_format", "container_format", "size", "virtual_size",
        "checksum", "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "owner", "visibility",
        "self", "file", "schema", "protected", "tags", "created_at", "updated_at", "os_hidden",
        "locations", "direct_url", "stores",
    )
)  # fmt: skip
_MOST_CACHED = 1024


class ImageClient:
    """Images with kilonova's own credentials."""

    def __init__(self, session: ServiceSession) -> None:
        self._session = session

    def get(self, image_id: str) -> ImageMeta:
        """An image's description. Raises: ImageNotFound, Unavailable."""
        return image_meta(_get(self._session, image_id, None).json())

    def download(self, image_id: str) -> Iterator[bytes]:
        """The image's bytes in chunks of at most 1 MiB.

        Raises: ImageNotFound, Unavailable (also in the middle, when the connection breaks).
        """
        path = f"/images/{quote(image_id, safe='')}/file"
        try:
            response = self._session.request(_TYPE, _VERSION, "GET", path, stream=True)
        except Refused as refused:
            raise _not_found_or(refused, image_id) from refused
        if response.status_code == 204:
            return
        try:
            yield from response.iter_content(_CHUNK_BYTES)
        except OSError as broken:  # requests' exceptions are OSErrors
            raise Unavailable(service="The image service") from broken

    def upload(self, image_id: str, data: IO[bytes] | io.RawIOBase) -> None:
        """Give a queued image its data. Raises: ImageNotFound, Unavailable, Refused."""
        path = f"/images/{quote(image_id, safe='')}/file"
        kind = {"Content-Type": "application/octet-stream"}
        try:
            self._session.request(_TYPE, _VERSION, "PUT", path, data=data, headers=kind)
        except Refused as refused:
            if refused.status == 409 and self.get(image_id).status == "saving":
                # An upload that was cut off: the service has not noticed yet.
                raise Unavailable(service="The image service") from refused
            raise _not_found_or(refused, image_id) from refused

    def delete(self, image_id: str) -> None:
        """Delete an image with its data. Again: fine. Raises: Unavailable, Refused."""
        try:
            path = f"/images/{quote(image_id, safe='')}"
            self._session.request(_TYPE, _VERSION, "DELETE", path)
        except Refused as refused:
            if refused.status != 404:
                raise

    def find(self, **properties: str) -> list[ImageMeta]:
        """Images that have these attributes and free properties, newest first, 1000 at most."""
        order = {"sort_key": "created_at", "sort_dir": "desc", "limit": "1000"}
        answer = self._session.request(
            _TYPE, _VERSION, "GET", "/images", params={**order, **properties}
        )
        return [image_meta(image) for image in answer.json()["images"]]


class UserImageClient:
    """Images as a user may see them, kept for a few seconds per project."""

    def __init__(
        self, session: ServiceSession, *, cache_s: float = 3, clock: Clock | None = None
    ) -> None:
        self._session = session
        self._cache_s = cache_s
        self._clock = clock or SystemClock()
        self._cache: dict[tuple[str, str], tuple[float, ImageMeta]] = {}
        self._lock = threading.Lock()

    def get(self, token: str, project_id: str, image_id: str) -> ImageMeta:
        """An image's description. Raises: ImageNotFound (or not for this user), Unavailable."""
        key, now = (project_id, image_id), self._clock.monotonic()
        with self._lock:
            kept = self._cache.get(key)
        if kept and now - kept[0] < self._cache_s:
            return kept[1]
        meta = image_meta(_get(self._session, image_id, token).json())
        if meta.status == "active":
            with self._lock:
                if len(self._cache) >= _MOST_CACHED:
                    self._cache.clear()
                self._cache[key] = (now, meta)
        return meta

    def create(self, token: str, image: dict[str, Any]) -> str:
        """Make an image without data; its id. Raises: Refused, Unavailable."""
        created = self._session.request(_TYPE, _VERSION, "POST", "/images", token=token, json=image)
        return str(created.json()["id"])

    def delete(self, token: str, image_id: str) -> None:
        """Delete an image. Again: fine. Raises: Refused, Unavailable."""
        try:
            path = f"/images/{quote(image_id, safe='')}"
            self._session.request(_TYPE, _VERSION, "DELETE", path, token=token)
        except Refused as refused:
            if refused.status != 404:
                raise

    def request(self, token: str, method: str, path: str, **options: Any) -> Any:
        """Any other call of the user's, for the image proxy of microversions up to 2.35.

        `path` is below `/v2`. Raises: Refused, Unavailable.
        """
        return self._session.request(_TYPE, _VERSION, method, path, token=token, **options)


def _get(session: ServiceSession, image_id: str, token: str | None) -> Any:
    try:
        path = f"/images/{quote(image_id, safe='')}"
        return session.request(_TYPE, _VERSION, "GET", path, token=token)
    except Refused as refused:
        raise _not_found_or(refused, image_id) from refused


def _not_found_or(refused: Refused, image_id: str) -> Exception:
    if refused.status in (401, 403, 404):
        return ImageNotFound(image=image_id)
    return refused


def image_meta(image: dict[str, Any]) -> ImageMeta:
    """An image as the Image API shows it, as ImageMeta."""
    return ImageMeta(
        id=image["id"],
        name=image.get("name"),
        status=image.get("status") or "queued",
        disk_format=image.get("disk_format"),
        container_format=image.get("container_format"),
        size=image.get("size"),
        virtual_size=image.get("virtual_size"),
        checksum=image.get("checksum"),
        hash_algo=image.get("os_hash_algo"),
        hash_value=image.get("os_hash_value"),
        min_disk=image.get("min_disk") or 0,
        min_ram=image.get("min_ram") or 0,
        owner=image.get("owner"),
        visibility=image.get("visibility") or "private",
        properties={
            key: str(value) for key, value in image.items() if key not in _OWN and value is not None
        },
    )

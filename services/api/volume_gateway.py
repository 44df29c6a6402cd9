# SPDX-License-Identifier: Apache-2.0
"""Calls of the volume service with the caller's own token, its refusals in our words."""

from typing import Any
from urllib.parse import quote

from common.clients.session import Refused
from common.clients.volume import UserVolumeClient
from common.errors import (
    Forbidden,
    Invalid,
    InvalidVolume,
    KilonovaError,
    NotFound,
    VolumeQuotaExceeded,
)
from common.objects.volume import Volume
from services.api.call import ApiCall

Document = dict[str, Any]

# From this microversion on a volume may be attached to several servers, if it is made for that.
_MULTIATTACH_SINCE = 60
_TOO_OLD = "Multiattach volumes are only supported starting with compute API version 2.60."


class VolumeGateway:
    """What the caller may see and change of the volume service. Each raises: Unavailable."""

    def __init__(self, volumes: UserVolumeClient) -> None:
        self._volumes = volumes

    def get(self, call: ApiCall, volume_id: str) -> Volume:
        """A volume. Raises: VolumeNotFound."""
        return self._volumes.get(call.token, _project(call), volume_id)

    def attachable(self, call: ApiCall, volume_id: str) -> Volume:
        """A volume that may be attached now. Raises: VolumeNotFound, InvalidVolume, Invalid."""
        volume = self.get(call, volume_id)
        if volume.multiattach and not call.at_least(_MULTIATTACH_SINCE):
            raise Invalid(_TOO_OLD)
        ready = ("available", "in-use") if volume.multiattach else ("available",)
        if volume.status not in ready:
            raise InvalidVolume(
                reason=f"volume '{volume_id}' status must be 'available'. "
                f"Currently in '{volume.status}'"
            )
        return volume

    def create(self, call: ApiCall, *, mark: str, **wanted: Any) -> Volume:
        """A new volume, which need not be ready yet; `mark` tells it from all others.

        Raises: InvalidVolume, VolumeQuotaExceeded.
        """
        return self._volumes.create(call.token, _project(call), mark=mark, **wanted)

    def take_snapshot(self, call: ApiCall, volume_id: str, *, name: str) -> Document:
        """A snapshot of a volume that may be in use; it need not be ready yet.

        Raises: VolumeNotFound, InvalidVolume, VolumeQuotaExceeded.
        """
        return self._volumes.take_snapshot(
            call.token, _project(call), volume_id, name=name, description=""
        )

    def ask(
        self,
        call: ApiCall,
        method: str,
        path: str,
        *,
        missing: KilonovaError | None = None,
        **options: Any,
    ) -> Any:
        """The answer's document, None when it has none.

        Raises: `missing` for a 404; Forbidden, VolumeQuotaExceeded, Invalid.
        """
        try:
            answer = self._volumes.request(call.token, _project(call), method, path, **options)
        except Refused as refused:
            raise _refusal(refused, missing) from refused
        return answer.json() if answer.content else None

    def page(self, call: ApiCall, collection: str) -> list[Document]:
        """The members of a collection that the query's `offset` and `limit` choose."""
        start, count = call.offset_page()
        params = {"offset": start, "limit": count}
        found = self.ask(call, "GET", f"/{collection}/detail", params=params)
        return list(found[collection])

    def one(self, call: ApiCall, collection: str, item_id: str, missing: KilonovaError) -> Document:
        """One member. Raises: `missing`."""
        found = self.ask(call, "GET", path_of(collection, item_id), missing=missing)
        return dict(next(iter(found.values())))


def path_of(collection: str, item_id: str) -> str:
    """The path of one member of a collection."""
    return f"/{collection}/{quote(item_id, safe='')}"


def _project(call: ApiCall) -> str:
    return call.caller.project_id or ""


def _refusal(refused: Refused, missing: KilonovaError | None) -> KilonovaError:
    if refused.status == 404:
        return missing or NotFound(str(refused))
    if refused.status == 413:
        return VolumeQuotaExceeded(reason=str(refused))
    if refused.status in (401, 403):
        return Forbidden(str(refused))
    return Invalid(str(refused))

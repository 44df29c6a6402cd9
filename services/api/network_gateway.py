# SPDX-License-Identifier: Apache-2.0
"""Calls of the network service with the caller's own token, its refusals in our words."""

from typing import Any
from urllib.parse import quote

from common.clients.network import UserNetworkClient
from common.clients.session import Refused
from common.errors import Forbidden, Invalid, KilonovaError, NotFound
from services.api.call import ApiCall

Document = dict[str, Any]


class NetworkConflict(Invalid):
    """Something there is in the way: a conflict to the network service, a bad request to users.

    The Compute API never had a code of its own for it.
    """


class NetworkGateway:
    """What the caller may see and change of the network service. Each raises: Unavailable."""

    def __init__(self, networks: UserNetworkClient) -> None:
        self._networks = networks

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

        Raises: `missing` for a 404; Forbidden (policy, quota), NetworkConflict, Invalid.
        """
        try:
            answer = self._networks.request(call.token, method, path, **options)
        except Refused as refused:
            raise _refusal(refused, missing) from refused
        return answer.json() if answer.content else None

    def listed(self, call: ApiCall, collection: str, **filters: Any) -> list[Document]:
        """The members of a collection that `filters` let through; a list means any of it."""
        found = self.ask(call, "GET", f"/{collection}", params=filters)
        return list(next(iter(found.values())))

    def one(self, call: ApiCall, collection: str, item_id: str, missing: KilonovaError) -> Document:
        """One member. Raises: `missing`."""
        found = self.ask(call, "GET", path_of(collection, item_id), missing=missing)
        return dict(next(iter(found.values())))

    def ports_of(self, call: ApiCall, server: str) -> list[Document]:
        """The ports of a server."""
        return self.listed(call, "ports", device_id=server)

    def networks_of(self, call: ApiCall, ids: set[str]) -> dict[str, Document]:
        """Networks by id."""
        if not ids:
            return {}
        return {one["id"]: one for one in self.listed(call, "networks", id=sorted(ids))}


def path_of(collection: str, item_id: str) -> str:
    """The path of one member of a collection."""
    return f"/{collection}/{quote(item_id, safe='')}"


def _refusal(refused: Refused, missing: KilonovaError | None) -> KilonovaError:
    if refused.status == 404:
        return missing or NotFound(str(refused))
    if refused.status in (401, 403) or refused.error_type == "OverQuota":
        return Forbidden(str(refused))
    if refused.status == 409:
        return NetworkConflict(str(refused))
    return Invalid(str(refused))

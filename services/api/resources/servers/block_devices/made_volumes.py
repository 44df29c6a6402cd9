# SPDX-License-Identifier: Apache-2.0
"""Volumes that a request for servers only describes, made with the caller's own token.

They belong to the caller's project from the beginning, so the conductor cannot make them. Here they
are made before the conductor is asked for the servers, and deleted when it does not take them.

What bounds their number: the conductor tells first how many servers flavor and quota allow, so
that a request for 1000 servers with a quota of 10 makes volumes for 10. Where the volume service
gives fewer, the request goes on with the servers that have all of theirs, while these are
`min_count` at least. No request makes more than `_MOST_MADE`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from common.errors import Forbidden, VolumeQuotaExceeded
from common.objects.block_device import BlockDeviceMapping
from common.objects.new_server import CreatedServers, NewServers
from common.rpc.conductor.servers import Servers
from services.api.call import ApiCall
from services.api.discarding import Discards
from services.api.volume_gateway import VolumeGateway

_MOST_MADE = 1000


class ServersWithVolumes:
    """Has the conductor create servers, with the volumes that have to be made for them."""

    def __init__(self, servers: Servers, volumes: VolumeGateway) -> None:
        self._servers = servers
        self._volumes = volumes
        self._discards = Discards(volumes)

    def create(self, call: ApiCall, request: NewServers) -> CreatedServers:
        """The servers that were accepted.

        Raises: as the conductor's `create`; VolumeQuotaExceeded, InvalidVolume, Unavailable. No
        volume is left then.
        """
        described = [
            disk for disk in request.block_devices if disk.is_volume and not disk.volume_id
        ]
        if not described:
            return self._servers.create(call.caller, request)
        count = self._count(call, request, len(described))
        made: list[list[str]] = []
        try:
            self._make(call, request, described, count, made)
            volumes = tuple(tuple(ids) for ids in made)
            created = self._servers.create(
                call.caller,
                msgspec.structs.replace(
                    request, uuids=request.uuids[: len(volumes)], made_volumes=volumes
                ),
            )
        except BaseException:
            self._discard(call, made)
            raise
        taken = set(created.uuids)
        pairs = zip(request.uuids, made, strict=False)
        self._discard(call, [ids for uuid, ids in pairs if uuid not in taken])
        return created

    def _count(self, call: ApiCall, request: NewServers, each: int) -> int:
        """For how many servers, with `each` volumes, it is worth to begin."""
        most = min(self._servers.would_accept(call.caller, request), _MOST_MADE // each)
        if most < request.min_count:
            raise Forbidden(
                f"Quota exceeded for volumes: Requested {each * request.min_count}, but one "
                f"request may make at most {_MOST_MADE} volumes"
            )
        return most

    def _make(
        self,
        call: ApiCall,
        request: NewServers,
        described: Sequence[BlockDeviceMapping],
        count: int,
        made: list[list[str]],
    ) -> None:
        """Fill `made` with the ids of each server's volumes: there they are when this raises.

        Raises: VolumeQuotaExceeded, InvalidVolume, Unavailable.
        """
        for uuid in request.uuids[:count]:
            ids: list[str] = []
            made.append(ids)
            try:
                for number, disk in enumerate(described):
                    mark = f"{uuid}/{number}"
                    ids.append(self._volumes.create(call, mark=mark, **_wanted(disk, uuid)).id)
            except VolumeQuotaExceeded:
                if len(made) <= request.min_count:
                    raise
                self._discard(call, [made.pop()])
                return

    def _discard(self, call: ApiCall, made: Iterable[Sequence[str]]) -> None:
        self._discards.discard(call, "volumes", (volume for ids in made for volume in ids))


def _wanted(disk: BlockDeviceMapping, server: str) -> dict[str, Any]:
    """A new volume in the volume service's words."""
    return {
        "size": disk.size_gib,
        "name": "" if disk.source != "blank" else f"{server}-blank-vol",
        "description": "",
        "imageRef": disk.image_id,
        "snapshot_id": disk.snapshot_id,
        "volume_type": disk.volume_type,
    }

# SPDX-License-Identifier: Apache-2.0
"""Actions that shelve servers and bring them back."""

from common.objects.unshelving import Unshelving
from common.policy import PolicyForbids
from common.rpc.conductor.shelving import Shelving
from common.rpc.conductor.snapshots import Snapshots
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder
from services.api.snapshot_images import SNAPSHOT, SnapshotImages

_RULE = "os_compute_api:os-shelve:"
_TO_HOST = _RULE + "unshelve_to_host"
_SUFFIX = "-shelved"
_LONGEST_NAME = 255


class ShelvingActions:
    """shelve, shelveOffload, unshelve."""

    def __init__(self, shelving: Shelving, snapshots: Snapshots, images: SnapshotImages) -> None:
        self._shelving = shelving
        self._snapshots = snapshots
        self._images = images

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "shelve": self.shelve,
            "shelveOffload": self.shelve_offload,
            "unshelve": self.unshelve,
        }

    @responder(policy=_RULE + "shelve", body=bodies.SHELVE, status=202)
    def shelve(self, call: ApiCall, server_id: str) -> None:
        """Switch a server off and keep its root disk as an image."""
        server = self._snapshots.check(call.caller, server_id, operation="shelve")
        if server.is_volume_backed:
            self._shelving.shelve(call.caller, server_id, image_id=None)
            return
        name = server.name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
        with self._images.queued(call, server, name, kind=SNAPSHOT, properties={}) as image_id:
            self._shelving.shelve(call.caller, server_id, image_id=image_id)

    @responder(policy=_RULE + "shelve_offload", body=bodies.SHELVE_OFFLOAD, status=202)
    def shelve_offload(self, call: ApiCall, server_id: str) -> None:
        """Take a shelved server from its host."""
        self._shelving.shelve_offload(call.caller, server_id)

    @responder(policy=_RULE + "unshelve", body=bodies.UNSHELVE, status=202)
    def unshelve(self, call: ApiCall, server_id: str) -> None:
        """Bring a shelved server back."""
        asked = call.body if call.at_least(77) and call.body else {}
        if "host" in asked and not call.allows(_TO_HOST):
            raise PolicyForbids(rule=_TO_HOST)
        to = Unshelving(
            changes_zone="availability_zone" in asked,
            zone=asked.get("availability_zone"),
            host=asked.get("host"),
        )
        self._shelving.unshelve(call.caller, server_id, to=to if asked else None)

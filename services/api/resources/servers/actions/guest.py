# SPDX-License-Identifier: Apache-2.0
"""Actions on the software inside a server."""

import falcon

from common.errors import Gone
from common.rpc.conductor.guest import Guest
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder


class GuestActions:
    """changePassword, injectNetworkInfo, and resetNetwork, which is gone."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "changePassword": self.change_password,
            "injectNetworkInfo": self.inject_network_info,
            "resetNetwork": self.reset_network,
        }

    @responder(policy="os_compute_api:os-admin-password", body=bodies.CHANGE_PASSWORD, status=202)
    def change_password(self, call: ApiCall, server_id: str) -> None:
        """Change the password of a server's administrator."""
        password = call.body["adminPass"]
        self._guest.change_password(call.caller, server_id, password=password)

    @responder(
        policy="os_compute_api:os-admin-actions:inject_network_info",
        body=bodies.INJECT_NETWORK_INFO,
        status=202,
    )
    def inject_network_info(self, call: ApiCall, server_id: str) -> None:
        """Make a server's networks known to its guest, which reads them by itself."""
        self._guest.inject_network_info(call.caller, server_id)

    def reset_network(self, req: falcon.Request, resp: falcon.Response, **parts: str) -> None:
        """Removed from the API. Raises: Gone."""
        raise Gone()

# SPDX-License-Identifier: Apache-2.0
"""Actions that start and stop a server."""

from common.rpc.conductor.power import Power
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder

_RULE = "os_compute_api:servers:"


class PowerActions:
    """os-start, os-stop, reboot."""

    def __init__(self, power: Power) -> None:
        self._power = power

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {"os-start": self.start, "os-stop": self.stop, "reboot": self.reboot}

    @responder(policy=_RULE + "start", body=bodies.START, status=202)
    def start(self, call: ApiCall, server_id: str) -> None:
        """Power a server on."""
        self._power.start(call.caller, server_id)

    @responder(policy=_RULE + "stop", body=bodies.STOP, status=202)
    def stop(self, call: ApiCall, server_id: str) -> None:
        """Power a server off."""
        self._power.stop(call.caller, server_id)

    @responder(policy=_RULE + "reboot", body=bodies.REBOOT, status=202)
    def reboot(self, call: ApiCall, server_id: str) -> None:
        """Reboot a server, softly or hard."""
        hard = call.body["type"].upper() == "HARD"
        self._power.reboot(call.caller, server_id, hard=hard)

# SPDX-License-Identifier: Apache-2.0
"""Actions on a server's power."""

from common.rpc.conductor.power import Power
from services.api.actions import Act
from services.api.call import ApiCall
from services.api.resources.servers import bodies
from services.api.responder import responder

_RULE = "os_compute_api:servers:"


class PowerActions:
    """os-start, os-stop, reboot, pause, unpause, suspend, resume, trigger_crash_dump."""

    def __init__(self, power: Power) -> None:
        self._power = power

    def table(self) -> dict[str, Act]:
        """What a body names, and what does it."""
        return {
            "os-start": self.start,
            "os-stop": self.stop,
            "reboot": self.reboot,
            "pause": self.pause,
            "unpause": self.unpause,
            "suspend": self.suspend,
            "resume": self.resume,
            "trigger_crash_dump": self.trigger_crash_dump,
        }

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

    @responder(policy="os_compute_api:os-pause-server:pause", body=bodies.PAUSE, status=202)
    def pause(self, call: ApiCall, server_id: str) -> None:
        """Stop a server's CPUs."""
        self._power.pause(call.caller, server_id)

    @responder(policy="os_compute_api:os-pause-server:unpause", body=bodies.UNPAUSE, status=202)
    def unpause(self, call: ApiCall, server_id: str) -> None:
        """Let the CPUs of a paused server go on."""
        self._power.unpause(call.caller, server_id)

    @responder(policy="os_compute_api:os-suspend-server:suspend", body=bodies.SUSPEND, status=202)
    def suspend(self, call: ApiCall, server_id: str) -> None:
        """Save a server's memory to disk and stop it."""
        self._power.suspend(call.caller, server_id)

    @responder(policy="os_compute_api:os-suspend-server:resume", body=bodies.RESUME, status=202)
    def resume(self, call: ApiCall, server_id: str) -> None:
        """Let a suspended server go on."""
        self._power.resume(call.caller, server_id)

    @responder(
        policy=_RULE + "trigger_crash_dump",
        body=bodies.TRIGGER_CRASH_DUMP,
        status=202,
        since="2.17",
    )
    def trigger_crash_dump(self, call: ApiCall, server_id: str) -> None:
        """Have a server's kernel dump core."""
        self._power.trigger_crash_dump(call.caller, server_id)

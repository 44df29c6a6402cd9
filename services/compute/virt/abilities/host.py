# SPDX-License-Identifier: Apache-2.0
"""What a driver may do with its host as a whole."""

from common.objects.host_power import HostPowerAction
from services.compute.virt.terms import lacks


class HostAbilities:
    """Power and maintenance of the host, for drivers that reach it from outside of it."""

    def power_host(self, action: HostPowerAction) -> None:
        """Power the host on or off, or off and on. Its guests go off with it, and stay off.

        `health` names a host that is off, and what needs the host fails meanwhile.
        Again: a host that is on, or off, stays so; `REBOOT` does it once more.
        Raises: NotSupported.
        """
        raise lacks("power its host on or off")

    def set_maintenance(self, *, on: bool) -> None:
        """Begin or end maintenance of the host; its guests stay as they are.

        Again: nothing. Raises: NotSupported.
        """
        raise lacks("put its host into maintenance")

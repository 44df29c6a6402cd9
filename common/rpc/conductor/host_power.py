# SPDX-License-Identifier: Apache-2.0
"""Power and maintenance of whole hosts."""

from common.context import RequestContext
from common.objects.host_power import HostPowerAction
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call

_TIMEOUT_S = 45  # the host may take its own time within that


class HostPower(Interface, topic=TOPIC, namespace="host_power", version="1.0"):
    """Power and maintenance of whole hosts.

    1.0  first release
    """

    @call(timeout_s=_TIMEOUT_S)
    def power(self, ctx: RequestContext, host: str, *, action: HostPowerAction) -> None:
        """Power a host on or off, or off and on.

        Raises: HostNotFound; Invalid (it is not heard from, and shall not start up); NotSupported
        (its driver cannot).
        """

    @call(timeout_s=_TIMEOUT_S)
    def set_maintenance(self, ctx: RequestContext, host: str, *, on: bool) -> None:
        """Begin or end maintenance of a host: it takes no new instances meanwhile.

        What ends is only what this began: a host disabled for another reason stays so. Raises:
        HostNotFound, Invalid (it is not heard from), NotSupported (its driver cannot).
        """

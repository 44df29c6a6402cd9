# SPDX-License-Identifier: Apache-2.0
"""Virtual interfaces: what a guest needs of the network service before it can start.

The hypervisor makes the tap device; the bridge that the port's binding names is the network
service's. It may come a moment later than the binding, and it may live in a network namespace that
only the hypervisor sees, so the hypervisor is asked by starting the guest.
"""

import logging
import time
from collections.abc import Callable, Sequence

from common.errors import HypervisorError
from common.objects.network import VirtualInterface
from services.compute.virt.driver import Checkpoint

LOG = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.5


def check_bound(vifs: Sequence[VirtualInterface]) -> None:
    """Every port is bound to a bridge of this host. Raises: HypervisorError."""
    for vif in vifs:
        if vif.vif_type in ("unbound", "binding_failed"):
            reason = f"the network service has not bound port {vif.port_id} to this host"
            raise HypervisorError(reason=reason)
        if not vif.bridge:
            reason = f"port {vif.port_id} is of type {vif.vif_type}, without a bridge to plug into"
            raise HypervisorError(reason=reason)


def start_when_plugged(
    start: Callable[[], None],
    vifs: Sequence[VirtualInterface],
    *,
    wait_s: float,
    checkpoint: Checkpoint,
    where: str = "this host",
) -> None:
    """Run `start`, again while it fails for want of a bridge, for at most `wait_s` seconds.

    `where` is the host whose bridge it is.
    Raises: what `start` raises; HypervisorError that names the bridge; OperationCancelled.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            start()
            return
        except HypervisorError as failed:
            missing = _missing_bridge(str(failed), vifs)
            if missing is None:
                raise
            if time.monotonic() >= deadline:
                reason = (
                    f"bridge {missing.bridge} of port {missing.port_id} is not on {where}: is "
                    "the network service running here?"
                )
                raise HypervisorError(reason=reason) from failed
        checkpoint()
        LOG.debug("Bridge %s is not there yet", missing.bridge)
        time.sleep(_LOOK_AGAIN_S)


def _missing_bridge(said: str, vifs: Sequence[VirtualInterface]) -> VirtualInterface | None:
    """The interface whose bridge the hypervisor's message misses."""
    if "No such device" not in said:
        return None
    return next((vif for vif in vifs if vif.bridge and f"'{vif.bridge}'" in said), None) or (
        vifs[0] if vifs and "Unable to add bridge" in said else None
    )

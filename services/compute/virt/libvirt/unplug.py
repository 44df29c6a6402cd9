# SPDX-License-Identifier: Apache-2.0
"""Taking a device from a guest that runs: the guest must let go of it, and may take its time."""

import time
from collections.abc import Callable
from typing import Any

import libvirt

from common.errors import HypervisorError
from services.compute.virt.driver import Checkpoint

# A guest that is still booting, or busy, misses the first request.
_ASK_AGAIN_S = 5.0
_LOOK_S = 0.1
# It is being taken out already, or is gone in this moment.
_PENDING = (
    libvirt.VIR_ERR_OPERATION_FAILED,
    libvirt.VIR_ERR_INTERNAL_ERROR,
    libvirt.VIR_ERR_DEVICE_MISSING,
)


def unplug(
    domain: Any,
    alias: Callable[[], str | None],
    *,
    what: str,
    within_s: float,
    checkpoint: Checkpoint,
) -> None:
    """Ask the guest for the device until it is gone; `alias` gives libvirt's name of it, if any.

    Raises: HypervisorError, which names `what`, when the guest does not let go in time;
    libvirtError, OperationCancelled.
    """
    deadline = time.monotonic() + within_s
    ask_at = time.monotonic()
    while (name := alias()) is not None:
        now = time.monotonic()
        if now >= deadline:
            raise HypervisorError(
                reason=f"the guest did not let go of {what} within {within_s:g} s; it may be in "
                "use, or the guest does not support it while it runs"
            )
        if now >= ask_at:
            _ask(domain, name)
            ask_at = now + _ASK_AGAIN_S
        checkpoint()
        time.sleep(_LOOK_S)


def _ask(domain: Any, name: str) -> None:
    # Unlike detachDeviceFlags this does not wait, and so leaves the waiting to us.
    try:
        domain.detachDeviceAlias(name, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() not in _PENDING:
            raise

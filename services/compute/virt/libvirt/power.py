# SPDX-License-Identifier: Apache-2.0
"""Power of a libvirt domain: its state, and ways to start and stop it."""

import time
from collections.abc import Callable
from typing import Any

import libvirt

from common.errors import DiskFull
from common.space import NO_SPACE
from common.states import PowerState
from services.compute.virt.driver import Checkpoint

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: PowerState.NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,  # on its way down, not there yet
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.SUSPENDED,
}
_NOT_THERE_YET = (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
_LOOK_S = 0.2
# A guest that still boots does not hear the first press of its power button.
_PRESS_AGAIN_S = 8
_KILL_ATTEMPTS = 5


def state_of(domain: Any) -> PowerState:
    """The domain's power state. Raises: libvirtError."""
    return _STATES.get(domain.state()[0], PowerState.NOSTATE)


def is_off(domain: Any) -> bool:
    """Whether no process of the guest is left. Raises: libvirtError."""
    return not domain.isActive()


def is_arriving(domain: Any) -> bool:
    """Whether a live migration to this host is still filling it. Raises: libvirtError."""
    state, reason = domain.state()
    return state == libvirt.VIR_DOMAIN_PAUSED and reason in _NOT_THERE_YET


def start(domain: Any, *, paused: bool = False) -> None:
    """Start it; `paused`: with its CPUs stopped. Again: one that runs goes on.

    Raises: libvirtError.
    """
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID or is_off(domain):
            raise


def press(domain: Any) -> None:
    """Press the guest's power button. Again: once more. Raises: libvirtError."""
    try:
        domain.shutdown()
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise  # not merely off already


def ask_to_shut_down(
    domain: Any, grace_s: float, checkpoint: Checkpoint, *, ask: Callable[[Any], None] = press
) -> bool:
    """Press the power button, or `ask`, wait `grace_s` seconds; whether the guest is off.

    Raises: libvirtError, OperationCancelled.
    """
    deadline = time.monotonic() + grace_s
    press_at = time.monotonic()
    while not is_off(domain):
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= press_at:
            ask(domain)
            press_at = now + _PRESS_AGAIN_S
        checkpoint()
        time.sleep(_LOOK_S)
    return True


def cut(domain: Any) -> None:
    """Cut the power; no process is left then. Again: fine. Raises: libvirtError."""
    for attempt in range(1, _KILL_ATTEMPTS + 1):
        try:
            domain.destroy()
        except libvirt.libvirtError as refused:
            code = refused.get_error_code()
            if code == libvirt.VIR_ERR_OPERATION_INVALID and is_off(domain):
                return
            # QEMU in uninterruptible I/O outlives libvirt's patience; mostly not for long.
            if code not in (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_OPERATION_FAILED):
                raise
            if attempt == _KILL_ATTEMPTS:
                raise
            time.sleep(1)
        else:
            return


def pause(domain: Any) -> PowerState:
    """Stop its CPUs. Again: they stay stopped. Raises: libvirtError."""
    if state_of(domain) is not PowerState.PAUSED:
        domain.suspend()
    return state_of(domain)


def unpause(domain: Any) -> PowerState:
    """Let its CPUs go on. Again: they do. Raises: libvirtError."""
    if state_of(domain) is PowerState.PAUSED:
        domain.resume()
    return state_of(domain)


def save(domain: Any) -> PowerState:
    """Write its memory to disk and stop it. Again: it stays so. Raises: DiskFull, libvirtError."""
    if not is_off(domain):
        try:
            domain.managedSave(0)
        except libvirt.libvirtError as refused:
            if not any(words in str(refused) for words in NO_SPACE):
                raise
            need_mib = domain.maxMemory() >> 10
            raise DiskFull(what="the guest's memory", free_mib=0, need_mib=need_mib) from refused
    return state_of(domain)


def has_memory(domain: Any) -> bool:
    """Whether its next start goes on from memory that `save` kept. Raises: libvirtError."""
    return bool(domain.hasManagedSaveImage(0))


def forget_memory(domain: Any) -> None:
    """Have it boot at its next start, though `save` kept its memory. Again: nothing is kept.

    Raises: libvirtError.
    """
    if has_memory(domain):
        domain.managedSaveRemove(0)

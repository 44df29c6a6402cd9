# SPDX-License-Identifier: Apache-2.0
"""File systems of a guest, stopped and let go by its agent: what its disks hold is whole then."""

import contextlib
import logging
import time
from typing import Any

from common.errors import NotSupported
from common.guest_hardware.wishes import Wishes
from common.objects.instance import Instance
from services.compute.virt.libvirt import agent, power

LOG = logging.getLogger(__name__)

# In libvirt's words, or in those of the agent itself when libvirt was started anew meanwhile.
_FROZEN_ALREADY = ("already quiesced", "agent is in frozen state")
_THAW_S = 5


def freeze(domain: Any, instance: Instance) -> bool:
    """Stop all writing; whether the guest has done so. Again: it stays so.

    A guest that is off is quiet. Raises: NotSupported, where the image demands it and no agent
    does it; libvirtError.
    """
    if power.is_off(domain):
        return True
    wishes = Wishes(instance)
    try:
        if not wishes.is_on("", "hw_qemu_guest_agent", default=True):
            raise NotSupported("The image says that its guest has no agent.")
        _stop_writing(domain)
    except NotSupported as refused:
        if wishes.is_on("", "os_require_quiesce"):
            raise
        LOG.info("Guest %s is not made quiet: %s", instance.uuid, refused)
        return False
    return True


def thaw(domain: Any) -> None:
    """Let it write again. Again: it does. Raises: NotSupported, libvirtError."""
    if not power.is_off(domain):
        agent.ask(domain, domain.fsThaw, fine=_FROZEN_ALREADY)


def _stop_writing(domain: Any) -> None:
    asked_at = time.monotonic()
    try:
        agent.ask(domain, domain.fsFreeze, fine=_FROZEN_ALREADY)
    except NotSupported:
        if time.monotonic() - asked_at >= agent.PATIENCE_S:
            # An agent that is merely slow would leave its guest frozen for ever.
            with contextlib.suppress(NotSupported):
                agent.ask(domain, domain.fsThaw, patience_s=_THAW_S)
        raise

# SPDX-License-Identifier: Apache-2.0
"""File systems of a guest, stopped and let go by its agent: what its disks hold is whole then.

A daemon that dies meanwhile must not leave its guest so for ever: a mark outlives it.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.errors import KilonovaError, NotSupported
from common.guest_hardware.wishes import Wishes
from common.objects.instance import Instance
from services.compute.virt.libvirt import agent, power
from services.compute.virt.libvirt.connection import libvirt_speaks

LOG = logging.getLogger(__name__)

# In libvirt's words, or in those of the agent itself when libvirt was started anew meanwhile.
_FROZEN_ALREADY = ("already quiesced", "agent is in frozen state")
# For an agent that froze its guest and then spoke nonsense: libvirt turns away from such, and
# hears the next one a moment later.
_THAW_AGAIN_S = 10
_TRY_S = 5
_PAUSE_S = 0.5


class Freezer:
    """The guests of this host that write nothing for a moment, an empty file each in `marks`.

    `patience_s` is for their agents.
    """

    def __init__(self, marks: Path, patience_s: int) -> None:
        self._marks = marks
        self._patience_s = patience_s

    def freeze(self, domain: Any, instance: Instance) -> bool:
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
            self._stop_writing(domain)
        except NotSupported as refused:
            if wishes.is_on("", "os_require_quiesce"):
                raise
            LOG.info("Guest %s is not made quiet: %s", instance.uuid, refused)
            return False
        return True

    def thaw(self, domain: Any) -> None:
        """Let it write again. Again: it does. Raises: NotSupported, libvirtError.

        What cannot be told is tried again when the daemon starts: `thaw_left`.
        """
        try:
            self._thaw(domain, self._patience_s)
        except NotSupported as refused:
            LOG.warning("Guest %s was frozen and may be still: %s", domain.UUIDString(), refused)
            self._thaw_again(domain)

    def thaw_left(self, find: Callable[[str], Any]) -> None:
        """Let those write again that a killed daemon has left frozen; `find` gives their domains.

        Again: nothing. One that cannot be is tried again the next time.
        """
        for mark in self._marks.glob("*"):
            uuid = mark.name
            try:
                domain = find(uuid)
                if domain is None:
                    mark.unlink(missing_ok=True)
                    continue
                with libvirt_speaks(uuid):
                    self.thaw(domain)
            except KilonovaError as failed:
                LOG.warning("The guest of %s, which was left frozen, stays so: %s", uuid, failed)
            else:
                LOG.warning("The guest of %s was left frozen: it goes on", uuid)

    def _stop_writing(self, domain: Any) -> None:
        mark = self._mark(domain.UUIDString())
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        try:
            agent.ask(domain, domain.fsFreeze, self._patience_s, fine=_FROZEN_ALREADY)
        except NotSupported as refused:
            if agent.may_be_done(refused):
                with contextlib.suppress(NotSupported):
                    self._thaw_again(domain)
            else:
                mark.unlink(missing_ok=True)
            raise

    def _thaw_again(self, domain: Any) -> None:
        deadline = time.monotonic() + _THAW_AGAIN_S
        while True:
            try:
                return self._thaw(domain, _TRY_S)
            except NotSupported as refused:
                if time.monotonic() > deadline:
                    uuid = domain.UUIDString()
                    LOG.warning("Guest %s may be frozen until the next start: %s", uuid, refused)
                    raise
            time.sleep(_PAUSE_S)

    def _thaw(self, domain: Any, patience_s: int) -> None:
        if not power.is_off(domain):
            agent.ask(domain, domain.fsThaw, patience_s, fine=_FROZEN_ALREADY)
        self._mark(domain.UUIDString()).unlink(missing_ok=True)

    def _mark(self, instance_uuid: str) -> Path:
        return self._marks / instance_uuid

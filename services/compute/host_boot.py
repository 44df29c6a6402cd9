# SPDX-License-Identifier: Apache-2.0
"""Has the host booted since its daemon last ran? Then its guests went down with it.

The kernel gives each boot an id. A daemon, or libvirt, that merely starts anew finds the one that
it knows; guests that are off then went off for reasons of their own.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

LOG = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HostBoot:
    """The boot in which the daemon last ran, kept in `file`."""

    def __init__(self, file: Path, boot_id: Path = _BOOT_ID) -> None:
        self._file = file
        self._boot_id = boot_id

    def is_news(self) -> bool:
        """Whether this boot is another one than the one that is kept; without one it is not."""
        try:
            return self._file.read_text().strip() != self._now()
        except FileNotFoundError:
            return False

    def remember(self) -> None:
        """This boot is known from now on. Again: it is."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(self._now())
        fresh.replace(self._file)

    def _now(self) -> str:
        return self._boot_id.read_text().strip()


class Revival:
    """What is done once after each boot of the host, before anything is told of its guests.

    `ask` asks the conductor to have the guests of a host run again that ran when it went down.
    """

    def __init__(
        self, boot: HostBoot, hosts: Iterable[str], *, revives: bool, ask: Callable[[str], int]
    ) -> None:
        self._boot = boot
        self._hosts = tuple(hosts)
        self._revives = revives
        self._ask = ask

    def __call__(self) -> None:
        """Again, in the same boot: nothing. Raises: Unavailable (the conductor)."""
        if self._boot.is_news():
            for host in self._hosts if self._revives else ():
                LOG.info("Host %s has booted; %d guests are to run again", host, self._ask(host))
        self._boot.remember()

# SPDX-License-Identifier: Apache-2.0
"""What keeps programs running: systemd where it is PID 1, else keepers of our own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from deploy.bringup.paths import Paths
from deploy.bringup.plain_processes import PlainProcesses
from deploy.bringup.program import Kept, Program
from deploy.bringup.systemd_units import SystemdUnits


class Runner(Protocol):
    """Keeps programs by name."""

    def prepare(self) -> None:
        """Make what every program needs. Again: nothing happens."""

    def user(self, *, needs_root: bool) -> str:
        """The user whom a daemon runs as; empty: root."""

    def hand_over(self, files: Sequence[Path]) -> None:
        """Let the daemons read these files."""

    def start(self, program: Program) -> bool:
        """Have it kept as described; whether it had to be (re)started."""

    def stop(self, name: str) -> bool:
        """Stop it, and return when it is gone; whether it ran."""

    def forget(self, name: str) -> None:
        """Stop it and remove how it is run."""

    def remove(self) -> None:
        """Undo `prepare`, once every program is forgotten."""

    def state(self, name: str) -> Kept:
        """How it runs."""

    def has(self, name: str) -> bool:
        """Whether a process of it is there, well kept or not."""

    def names(self) -> list[str]:
        """Programs that were started and not forgotten."""


def runs_on_systemd(paths: Paths) -> bool:
    """Whether systemd, as PID 1, runs this cloud; never one with a prefix of its own."""
    return paths.prefix is None and Path("/run/systemd/system").is_dir()


def choose(paths: Paths) -> Runner:
    """What runs this cloud's programs."""
    if runs_on_systemd(paths):
        return SystemdUnits(paths)
    return PlainProcesses(paths)

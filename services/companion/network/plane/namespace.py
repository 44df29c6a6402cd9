# SPDX-License-Identifier: Apache-2.0
"""Running programs in a network namespace.

`nsenter`, not `ip netns exec`: the latter mounts another /sys, which hides the cgroups.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TIMEOUT_S = 15
_FOLDER = Path("/run/netns")


class CommandFailed(Exception):
    """A program said no; the message is what it said."""


class Namespace:
    """A network namespace by name; the empty name is that of this process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._prefix = ["nsenter", f"--net={_FOLDER / name}"] if name else []

    @property
    def is_own(self) -> bool:
        """Whether it is another than that of this process."""
        return bool(self._name)

    def ensure(self) -> None:
        """Make it when missing, with its loopback up. Again: nothing happens."""
        if self._name and not (_FOLDER / self._name).exists():
            _run(["ip", "netns", "add", self._name], None)
        if self._name:
            self.run("ip", "link", "set", "lo", "up")

    def exists(self) -> bool:
        """Whether it is there."""
        return not self._name or (_FOLDER / self._name).exists()

    def run(self, *command: str, stdin: str | None = None) -> str:
        """Run a program to its end; its output. Raises CommandFailed."""
        return _run([*self._prefix, *command], stdin)

    def json(self, *command: str) -> Any:
        """The output of a program that prints JSON."""
        return json.loads(self.run(*command) or "[]")

    def write(self, path: str, value: str) -> None:
        """Set a kernel parameter below /proc/sys/net."""
        self.run("tee", path, stdin=value)

    def spawn(self, command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        """Start a program that stays, its output in a file."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [*self._prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def _run(command: Sequence[str], stdin: str | None) -> str:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise CommandFailed(f"{command[0]}: {failed}") from failed
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {done.stderr.strip()[:2000]}")
    return done.stdout

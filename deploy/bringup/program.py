# SPDX-License-Identifier: Apache-2.0
"""A program that is to be kept running, and what is known of a running one."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """How to run a program.

    `revision` stands for everything it reads at start: when it changes, the program is restarted.
    `ends_descendants`: what it left behind is ended with it; not for a program that is the parent
    of guests.
    """

    name: str
    command: tuple[str, ...]
    log: str
    user: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    stop_grace_s: int = 35
    ends_descendants: bool = True
    revision: str = ""

    def fingerprint(self) -> str:
        """Differs when the program must be started anew."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Kept:
    """A program as it runs. `pid` 0: it is being restarted, or is not there."""

    pid: int = 0
    restarts: int = 0
    last_exit: int | None = None
    fingerprint: str = ""
    is_kept: bool = False


Health = Callable[[], str]
"""Asks a program how it is: empty when it can serve, else what is wrong. Never raises."""


def revision_of(*paths: Path) -> str:
    """A digest of files and of whole folders' Python sources: by size and time of change."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            if file.exists():
                stat = file.stat()
                digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]

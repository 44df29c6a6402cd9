# SPDX-License-Identifier: Apache-2.0
"""Where a cloud keeps its files. Another prefix is another cloud."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Paths:
    """The folders of one cloud. `prefix` None: the system's usual places."""

    prefix: Path | None
    etc: Path
    state: Path
    log: Path
    run: Path
    venv: Path

    @classmethod
    def below(cls, prefix: str | None, *, venv: str | None = None) -> "Paths":
        """The folders for `prefix`; empty or None: /etc/kilonova, /var/lib/kilonova and so on."""
        if prefix:
            root = Path(prefix).resolve()
            etc, state, log, run = (root / name for name in ("etc", "lib", "log", "run"))
        else:
            root = None
            etc, state = Path("/etc/kilonova"), Path("/var/lib/kilonova")
            log, run = Path("/var/log/kilonova"), Path("/run/kilonova")
        return cls(root, etc, state, log, run, Path(venv).resolve() if venv else state / "venv")

    @property
    def tag(self) -> str:
        """A short name for what lives outside the folders: namespace, cgroup, broker node."""
        if self.prefix is None:
            return "kilonova"
        return "kn" + hashlib.sha256(str(self.prefix).encode()).hexdigest()[:8]

    @property
    def containers(self) -> Path:
        """State of the host of containers, which has a short path."""
        return self.state / "lxc"

    @property
    def clouds_yaml(self) -> Path:
        """Credentials for `openstack --os-cloud`."""
        return self.etc / "clouds.yaml"

    @property
    def openrc(self) -> Path:
        """The demo user's credentials as shell variables."""
        return self.etc / "openrc"

    def make(self) -> None:
        """Make the folders. Backends run as other users, which must be able to pass through."""
        if self.prefix is not None:
            self.prefix.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.etc, self.state, self.log, self.run):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def write(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace a file in one step when its content or mode differs; whether it did.

    A reader sees the old file or the new one, and a secret is never readable by others.
    """
    if path.exists() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
        return False
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
    fresh.replace(path)
    return True

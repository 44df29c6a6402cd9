# SPDX-License-Identifier: Apache-2.0
"""The virtual environment with kilonova and what it needs."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.bringup.commands import run
from deploy.bringup.paths import REPOSITORY, write
from deploy.bringup.program import revision_of


def ensure(
    venv: Path,
    stamp: Path,
    *,
    extras: Sequence[str],
    more: Sequence[str] = (),
    editable: bool = True,
) -> bool:
    """Make the environment, or bring it up to date; whether anything had to be done.

    `more`: packages beside kilonova with these extras. The stamp knows what was installed, by the
    digest of setup.cfg, and of the sources where these are copied.
    """
    source = "" if editable else revision_of(REPOSITORY / "common", REPOSITORY / "services")
    wanted = " ".join([_requirements(), *extras, *more, str(REPOSITORY), str(venv), source]) + "\n"
    works = _works(venv)
    if works and stamp.exists() and stamp.read_text() == wanted:
        return False
    if not works:
        shutil.rmtree(venv, ignore_errors=True)
        run(_python(), "-m", "venv", venv, timeout_s=120)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    target = f"{REPOSITORY}[{','.join(extras)}]" if extras else str(REPOSITORY)
    kilonova = ["-e", target] if editable else [target]
    pip = (venv / "bin" / "pip", "install", "-q", "--disable-pip-version-check")
    run(*pip, *kilonova, *more, timeout_s=1200)
    write(stamp, wanted)
    return True


def _requirements() -> str:
    return hashlib.sha256((REPOSITORY / "setup.cfg").read_bytes()).hexdigest()[:16]


def _works(venv: Path) -> bool:
    """Whether its interpreter starts: the one it was made of may be gone."""
    python = venv / "bin" / "python"
    try:
        return subprocess.run([python, "-c", ""], check=False, timeout=20).returncode == 0
    except OSError:
        return False


def _python() -> str:
    """The system's Python where it is new enough, else the one that runs this."""
    system = Path("/usr/bin/python3")
    if system.exists():
        version = run(system, "-c", "import sys; print(sys.version_info >= (3, 11))")
        if version.strip() == "True":
            return str(system)
    return sys.executable

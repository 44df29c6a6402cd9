# SPDX-License-Identifier: Apache-2.0
"""Running other programs to their end."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.bringup.failures import Failed


def run(
    *command: str | Path,
    timeout_s: float = 60,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> str:
    """What the program printed. Raises: Failed, with what it said; arguments are not shown.

    `user` runs it as that user. Standard input carries what must not be seen in a process list.
    """
    as_user: Sequence[str] = ["runuser", "-u", user, "--"] if user else []
    words = [*as_user, *map(str, command)]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False,
            env=env, cwd="/", stdin=subprocess.DEVNULL if stdin is None else None,
        )  # fmt: skip
    except FileNotFoundError as missing:
        raise Failed(f"{words[0]} is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{command[0]} did not end within {timeout_s:.0f} s") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise Failed(f"{command[0]} failed (exit code {done.returncode}):\n{said}")
    return done.stdout


def succeeds(*command: str | Path, timeout_s: float = 20) -> bool:
    """Whether a program ends with exit code 0."""
    try:
        run(*command, timeout_s=timeout_s)
    except Failed:
        return False
    return True

# SPDX-License-Identifier: Apache-2.0
"""What ends a command with a message instead of a trace."""

from pathlib import Path


class Failed(Exception):
    """Something is wrong that the operator must know of; the message says what and what to do."""


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, indented, for a message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    shown = lines[-count:] or ["(it has written nothing)"]
    return "\n".join(f"    {line}" for line in shown)

# SPDX-License-Identifier: Apache-2.0
"""Crash points: where a kill test has the conductor die, once each.

A point is named `<flow>:<step>:<moment>`, and `<flow>.undo:<step>:<moment>` on the way back. The
moments are: `begin` (before a call is made), `called` (before its result is committed),
`before_commit`, `after_commit`, `after_cast` and `reported` (before an operation's outcome is
committed).
"""

import os
from collections.abc import Iterable
from pathlib import Path

_KILLED = 137  # what a shell calls the end of a process by SIGKILL


class CrashPoints:
    """`record` outlives the process: a point that stands in it is not hit again."""

    def __init__(self, names: Iterable[str], record: Path) -> None:
        self._record = record
        wanted = {name.strip() for name in names} - {""}
        hit = record.read_text().split() if wanted and record.exists() else []
        self._armed = wanted - set(hit)

    def reach(self, flow: str, steps: Iterable[str], moment: str) -> None:
        """Die here when one of these points is armed."""
        if not self._armed:
            return
        for step in steps:
            name = f"{flow}:{step}:{moment}"
            if name in self._armed:
                with self._record.open("a") as record:
                    record.write(name + "\n")
                    record.flush()
                    os.fsync(record.fileno())
                os._exit(_KILLED)


def none() -> CrashPoints:
    """No crash points: what every conductor but a test's has."""
    return CrashPoints((), Path())

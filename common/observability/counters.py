# SPDX-License-Identifier: Apache-2.0
"""What this process has done so far, in plain numbers: shown by GET /healthz of every daemon.

Benchmarks read from here how many messages and statements an operation costs.
"""

import threading

_LOCK = threading.Lock()
_VALUES: dict[str, int] = {}


def count(name: str) -> None:
    """One more of `name`."""
    with _LOCK:
        _VALUES[name] = _VALUES.get(name, 0) + 1


def values() -> dict[str, int]:
    """Every counter that was ever counted, by name."""
    with _LOCK:
        return dict(sorted(_VALUES.items()))

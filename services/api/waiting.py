# SPDX-License-Identifier: Apache-2.0
"""Requests that are answered when a task has come far enough: it is asked until then."""

import time
from collections.abc import Callable
from typing import TypeVar

from common.errors import Unavailable

_Result = TypeVar("_Result")

# What is waited for takes as long as a host and a neighbour service do.
_MOST_WAIT_S = 180
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


def result_of(ask: Callable[[], _Result | None], *, not_yet: str) -> _Result:
    """What `ask` returns once that is not None.

    Raises: what `ask` raises; Unavailable with `not_yet` when it takes too long.
    """
    deadline, pause_s = time.monotonic() + _MOST_WAIT_S, _FIRST_PAUSE_S
    while time.monotonic() < deadline:
        result = ask()
        if result is not None:
            return result
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
    raise Unavailable(f"{not_yet} after {_MOST_WAIT_S} s.")

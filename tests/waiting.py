# SPDX-License-Identifier: Apache-2.0
"""Waiting for what others do, without taking from them the time that they need for it."""

import time

# Who looks is busy a quarter of the time at most: on two cores, with guests that are emulated,
# tests that looked all the time kept from happening what they waited for.
_PAUSE_FOR_A_LOOK = 3


class Looking:
    """Looks for something again and again: `pause` after each look, longer after long looks."""

    def __init__(self, pause_s: float = 0.02) -> None:
        self._pause_s = pause_s
        self._began = time.monotonic()

    def pause(self) -> None:
        """Wait until it is time for the next look."""
        took = time.monotonic() - self._began
        time.sleep(max(self._pause_s, _PAUSE_FOR_A_LOOK * took))
        self._began = time.monotonic()

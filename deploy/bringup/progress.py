# SPDX-License-Identifier: Apache-2.0
"""Telling the operator what goes on: one line a step, with how long it took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Prints steps to standard output; details come indented below them on a terminal."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._can_rewrite = sys.stdout.isatty()

    @contextmanager
    def step(self, what: str) -> Iterator["Step"]:
        """A step; what the caller notes on it is printed behind it."""
        step = Step()
        started = time.monotonic()
        if self._can_rewrite:
            print(f"  … {what}", end="\r", flush=True)
        try:
            yield step
        except BaseException:
            self._line("✗", what, started, step)
            raise
        self._line("✓", what, started, step)

    def _line(self, mark: str, what: str, started: float, step: "Step") -> None:
        note = f"  ({step.text})" if step.text else ""
        took_s = time.monotonic() - started
        print(f"  {mark} {what:<44}{took_s:6.1f} s{note}", flush=True)

    def total_s(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self._started


class Step:
    """A step under way."""

    def __init__(self) -> None:
        self.text = ""

    def note(self, text: str) -> None:
        """Say something about the step's outcome."""
        self.text = text

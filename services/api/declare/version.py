# SPDX-License-Identifier: Apache-2.0
"""Microversions: `2.N`, told apart by N."""

from dataclasses import dataclass

MAJOR = 2
FIRST = 1
LAST = 104


def minor(text: str) -> int:
    """N of `2.N`, as declarations write versions."""
    major, _, number = text.partition(".")
    if major != str(MAJOR):
        raise ValueError(f"{text} is no microversion of this API")
    return int(number)


@dataclass(frozen=True)
class Span:
    """A range of microversions, both ends included."""

    first: int = FIRST
    last: int = LAST

    @classmethod
    def between(cls, since: str | None, until: str | None) -> "Span":
        """From `2.N` texts; None leaves that end open."""
        return cls(minor(since) if since else FIRST, minor(until) if until else LAST)

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

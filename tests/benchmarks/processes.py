# SPDX-License-Identifier: Apache-2.0
"""What the daemons of a cloud used: CPU time, memory, and their own counters."""

import json
import os
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.functional.cloud import Cloud

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> float:
    """Resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


@dataclass(frozen=True)
class Usage:
    """CPU seconds by daemon, and the sums of all daemons' counters."""

    cpu_s: dict[str, float]
    counters: dict[str, int]

    @classmethod
    def of(cls, cloud: Cloud, names: Iterable[str]) -> Self:
        """As it is now."""
        names = list(names)
        sums: dict[str, int] = {}
        for name in names:
            if name == "metadata":  # guests reach its port: it tells them nothing about itself
                continue
            url = f"http://127.0.0.1:{cloud.ports[name]}/healthz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                for key, value in json.load(answer).get("counters", {}).items():
                    sums[key] = sums.get(key, 0) + value
        return cls({n: sum(cpu_s(p) for p in cloud.pids(n)) for n in names}, sums)

    def __sub__(self, before: Self) -> "Usage":
        return Usage(
            {name: self.cpu_s[name] - before.cpu_s[name] for name in self.cpu_s},
            {key: value - before.counters.get(key, 0) for key, value in self.counters.items()},
        )

    def per(self, count: int) -> str:
        """CPU milliseconds for each of `count` operations, by daemon."""
        parts = ", ".join(f"{n} {s / count * 1000:.1f}" for n, s in self.cpu_s.items() if s)
        return f"{sum(self.cpu_s.values()) / count * 1000:.1f} ms ({parts})"

    def counts_per(self, count: int) -> str:
        """The counters for each of `count` operations."""
        return ", ".join(f"{k} {v / count:.1f}" for k, v in self.counters.items() if v)

# SPDX-License-Identifier: Apache-2.0
"""What many hosts have in common: each value is kept once, and hosts refer to it by its number.

A filter judges each kind once and then looks every host's answer up, whatever the number of hosts.
"""

import functools
from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from common.objects.compute_node import ComputeNode
from common.objects.resources import Resources

_T = TypeVar("_T", bound=Hashable)


class Numbered(Generic[_T]):
    """Values in the order in which they were first seen."""

    def __init__(self) -> None:
        self.values: list[_T] = []
        self._numbers: dict[_T, int] = {}

    def number_of(self, value: _T) -> int:
        """The number of a value, a new one for one that is new."""
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
        return number


class Hypervisor(NamedTuple):
    """What matters of a hypervisor for an image or a flavor.

    `supported` holds (architecture, hypervisor type, vm mode) triples; `cpu_info` is JSON.
    """

    type: str
    version: int
    supported: tuple[tuple[str, str, str], ...]
    cpu_info: bytes = b"{}"
    traits: frozenset[str] = frozenset()

    @classmethod
    def of(cls, node: ComputeNode) -> "Hypervisor":
        """That of a compute node."""
        report = node.report
        return cls(
            report.hypervisor_type, report.hypervisor_version, report.supported,
            msgspec.json.encode(report.cpu_info, order="sorted"), frozenset(report.traits),
        )  # fmt: skip


class Hardware(NamedTuple):
    """What a machine has, what of it is kept back, and how far it may be over-committed.

    `dedicated_cpus`: how many CPUs guests may have for themselves; None: it does not say.
    """

    total: Resources
    reserved: Resources
    cpu_ratio: float
    memory_ratio: float
    disk_ratio: float
    dedicated_cpus: int | None = None

    @classmethod
    def of(cls, node: ComputeNode) -> "Hardware":
        """That of a compute node."""
        report = node.report
        return cls(
            report.total, report.reserved,
            report.cpu_ratio, report.memory_ratio, report.disk_ratio, report.dedicated_cpus,
        )  # fmt: skip


class Membership(NamedTuple):
    """The metadata of all aggregates that a host is in: pairs of a key and one of its values.

    A value with commas stands for several.
    """

    pairs: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, node: ComputeNode) -> "Membership":
        """That of a compute node."""
        return cls(
            frozenset(
                (key, value.strip())
                for metadata in node.aggregate_metadata
                for key, text in metadata.items()
                for value in text.split(",")
            )
        )

    @property
    def metadata(self) -> Mapping[str, frozenset[str]]:
        """Every key with its values."""
        return _by_key(self.pairs)


@functools.lru_cache(maxsize=4096)
def _by_key(pairs: frozenset[tuple[str, str]]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, value in pairs:
        found[key].add(value)
    return {key: frozenset(values) for key, values in found.items()}


def _least(membership: Membership, key: str, default: float) -> float:
    return min(map(float, filter(_is_number, membership.metadata.get(key, ()))), default=default)


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


class Kinds:
    """The kinds that the hosts of one table have."""

    def __init__(self) -> None:
        self.zones: Numbered[str] = Numbered()
        self.hypervisors: Numbered[Hypervisor] = Numbered()
        self.hardware: Numbered[Hardware] = Numbered()
        self.memberships: Numbered[Membership] = Numbered()
        self._least: dict[tuple[str, float], npt.NDArray[np.float64]] = {}

    def least(self, key: str, default: float) -> npt.NDArray[np.float64]:
        """For each membership the least of the numbers that its metadata has under `key`;
        `default` where it has none.
        """
        known = self._least.get((key, default))
        kinds = self.memberships.values
        if known is None or len(known) != len(kinds):
            known = np.array([_least(each, key, default) for each in kinds], np.float64)
            self._least[key, default] = known
        return known

    def numbers_of(self, node: ComputeNode) -> dict[str, int]:
        """The number of each kind of a compute node, by the name of its column."""
        return {
            "zone": self.zones.number_of(node.availability_zone),
            "hypervisor": self.hypervisors.number_of(Hypervisor.of(node)),
            "hardware": self.hardware.number_of(Hardware.of(node)),
            "membership": self.memberships.number_of(Membership.of(node)),
        }

# SPDX-License-Identifier: Apache-2.0
"""Every host of the deployment, in columns.

A filter or weigher reads whole columns at once (`HostColumns`); `HostTable` is the set of columns
that a baseline fills and deltas change. Besides what the database says is claimed, the table holds
what this scheduler expects to be claimed soon, so that requests in quick succession do not all
choose the same host. Not thread-safe: `baseline.Picture` guards it.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.objects.compute_node import ComputeNode, HostBaseline, HostDelta
from common.objects.request_spec import Candidate
from common.objects.resources import Resources

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_DTYPES: dict[str, type[np.generic]] = {
    "vcpus_capacity": np.int64, "memory_capacity_mib": np.int64, "disk_capacity_gib": np.int64,
    "vcpus_claimed": np.int64, "memory_claimed_mib": np.int64, "disk_claimed_gib": np.int64,
    "vcpus_expected": np.int64, "memory_expected_mib": np.int64, "disk_expected_gib": np.int64,
    "expected_until": np.float64, "generation": np.int64, "failed_builds": np.int64,
    "enabled": np.bool_, "is_up": np.bool_, "zone": np.int64, "hypervisor": np.int64,
}  # fmt: skip
_FIRST_ROOM = 64


class Hypervisor(NamedTuple):
    """What matters of a hypervisor for an image; hosts that are alike share one number.

    `supported` holds (architecture, hypervisor type, vm mode) triples.
    """

    type: str
    version: int
    supported: tuple[tuple[str, str, str], ...]


class HostColumns:
    """Columns over the same hosts: row i of each is host i. `zone` and `hypervisor` hold the
    positions of their values in `zones` and `hypervisors`."""

    vcpus_capacity: Ints
    memory_capacity_mib: Ints
    disk_capacity_gib: Ints
    vcpus_claimed: Ints
    memory_claimed_mib: Ints
    disk_claimed_gib: Ints
    vcpus_expected: Ints
    memory_expected_mib: Ints
    disk_expected_gib: Ints
    expected_until: Floats
    generation: Ints
    failed_builds: Ints
    enabled: Mask
    is_up: Mask
    zone: Ints
    hypervisor: Ints

    def __init__(self, zones: list[str], hypervisors: list[Hypervisor]) -> None:
        self.zones = zones
        self.hypervisors = hypervisors
        self.names: list[Candidate] = []

    def __len__(self) -> int:
        return len(self.names)

    @property
    def vcpus_free(self) -> Ints:
        """vCPUs that may still be claimed; negative where capacity shrank below the claims."""
        return self.vcpus_capacity - self.vcpus_claimed - self.vcpus_expected

    @property
    def memory_free_mib(self) -> Ints:
        """Memory that may still be claimed."""
        return self.memory_capacity_mib - self.memory_claimed_mib - self.memory_expected_mib

    @property
    def disk_free_gib(self) -> Ints:
        """Disk that may still be claimed."""
        return self.disk_capacity_gib - self.disk_claimed_gib - self.disk_expected_gib


class HostTable(HostColumns):
    """All hosts; grows as they appear. The order of rows means nothing."""

    def __init__(self) -> None:
        super().__init__([], [])
        self._zone_ids: dict[str, int] = {}
        self._hypervisor_ids: dict[Hypervisor, int] = {}
        self._clear(_FIRST_ROOM)

    def _clear(self, room: int) -> None:
        self._store = {name: np.zeros(room, dtype) for name, dtype in _DTYPES.items()}
        self._row_of: dict[str, int] = {}
        self._rows_of_host: dict[str, set[int]] = {}
        self.names = []
        self._show()

    def _show(self) -> None:
        """Let the columns be the filled part of the store."""
        for name, values in self._store.items():
            setattr(self, name, values[: len(self.names)])

    # --- what the conductor says ---

    def load(self, baseline: HostBaseline) -> None:
        """Forget everything and take the baseline's hosts."""
        self._clear(max(_FIRST_ROOM, len(baseline.hosts)))
        for node in baseline.hosts:
            self._put(node)

    def apply(self, delta: HostDelta) -> None:
        """Take a host as it is now. An older generation than the known one changes nothing;
        what was expected of the host is settled by it."""
        row = self._row_of.get(delta.node.report.uuid)
        if row is not None and delta.node.generation < self.generation[row]:
            return
        if not delta.removed:
            self._put(delta.node)
        elif row is not None:
            self._drop(row)

    def _put(self, node: ComputeNode) -> None:
        report = node.report
        row = self._row_of.get(report.uuid)
        if row is None:
            row = self._new_row(report.uuid)
        else:
            self._rows_of_host[self.names[row].host].discard(row)
        self.names[row] = Candidate(host_uuid=report.uuid, host=report.host, node=report.node)
        self._rows_of_host.setdefault(report.host, set()).add(row)
        capacity = capacity_of(node)
        values = {
            "vcpus_capacity": capacity.vcpus,
            "memory_capacity_mib": capacity.memory_mib,
            "disk_capacity_gib": capacity.disk_gib,
            "vcpus_claimed": node.claimed.vcpus,
            "memory_claimed_mib": node.claimed.memory_mib,
            "disk_claimed_gib": node.claimed.disk_gib,
            "vcpus_expected": 0, "memory_expected_mib": 0, "disk_expected_gib": 0,
            "expected_until": 0.0,
            "generation": node.generation,
            "failed_builds": node.failed_builds,
            "enabled": not node.disabled,
            "is_up": node.is_up,
            "zone": self._zone_id(node.availability_zone),
            "hypervisor": self._hypervisor_id(node),
        }  # fmt: skip
        for name, value in values.items():
            self._store[name][row] = value

    def _new_row(self, uuid: str) -> int:
        row = len(self.names)
        if row == len(self._store["generation"]):
            for name, column in self._store.items():
                self._store[name] = np.concatenate([column, np.zeros_like(column)])
        self._row_of[uuid] = row
        self.names.append(Candidate(host_uuid=uuid, host="", node=""))
        self._show()
        return row

    def _drop(self, row: int) -> None:
        """Remove a row; the last one moves into its place."""
        last = len(self.names) - 1
        gone, moved = self.names[row], self.names[last]
        for column in self._store.values():
            column[row] = column[last]
        self.names[row] = moved
        self._row_of[moved.host_uuid] = row
        self._rows_of_host[moved.host].add(row)
        self._rows_of_host[moved.host].discard(last)
        if gone.host != moved.host:
            self._rows_of_host[gone.host].discard(row)
        del self._row_of[gone.host_uuid]
        self.names.pop()
        self._show()

    def _zone_id(self, zone: str) -> int:
        if zone not in self._zone_ids:
            self._zone_ids[zone] = len(self.zones)
            self.zones.append(zone)
        return self._zone_ids[zone]

    def _hypervisor_id(self, node: ComputeNode) -> int:
        report = node.report
        known = Hypervisor(report.hypervisor_type, report.hypervisor_version, report.supported)
        if known not in self._hypervisor_ids:
            self._hypervisor_ids[known] = len(self.hypervisors)
            self.hypervisors.append(known)
        return self._hypervisor_ids[known]

    # --- what this scheduler expects ---

    def expect(self, row: int, need: Resources, until: float) -> None:
        """Count `need` as taken from a host until its next delta, or the moment `until`."""
        self.vcpus_expected[row] += need.vcpus
        self.memory_expected_mib[row] += need.memory_mib
        self.disk_expected_gib[row] += need.disk_gib
        self.expected_until[row] = until

    def forget_expected(self, now: float) -> bool:
        """Drop what was expected until `now` or earlier; whether there was any."""
        rows = np.flatnonzero((self.expected_until > 0) & (self.expected_until <= now))
        for column in (
            self.vcpus_expected, self.memory_expected_mib, self.disk_expected_gib,
            self.expected_until,
        ):  # fmt: skip
            column[rows] = 0
        return bool(len(rows))

    # --- rows ---

    def rows_of(self, host: str) -> list[int]:
        """The rows of a host, by its name; more than one when it has several nodes."""
        return sorted(self._rows_of_host.get(host, ()))

    def only(self, row: int) -> HostColumns:
        """The columns of one row, as views: a change of the table shows in them."""
        one = HostColumns(self.zones, self.hypervisors)
        one.names = [self.names[row]]
        for name, values in self._store.items():
            setattr(one, name, values[row : row + 1])
        return one


def capacity_of(node: ComputeNode) -> Resources:
    """What may be claimed of a host in all: (total - reserved) x ratio, rounded down."""
    report, total, reserved = node.report, node.report.total, node.report.reserved
    return Resources(
        vcpus=int((total.vcpus - reserved.vcpus) * report.cpu_ratio),
        memory_mib=int((total.memory_mib - reserved.memory_mib) * report.memory_ratio),
        disk_gib=int((total.disk_gib - reserved.disk_gib) * report.disk_ratio),
    )

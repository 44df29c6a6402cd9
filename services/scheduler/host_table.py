# SPDX-License-Identifier: Apache-2.0
"""Every host of the deployment, in columns.

A filter or weigher reads whole columns at once (`HostColumns`); `HostTable` is the set of columns
that a baseline fills and deltas change. Besides what the database says is claimed, the table holds
what this scheduler expects to be claimed soon, so that requests in quick succession do not all
choose the same host. Not thread-safe: `baseline.Picture` guards it.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from common.objects.compute_node import ComputeNode, HostBaseline, HostDelta
from common.objects.request_spec import Candidate
from common.objects.resources import Resources
from services.scheduler.kinds import Hardware, Hypervisor, Kinds, Membership
from services.scheduler.members import ExpectedMembers

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]
# host -> property -> value -> instances
ImageCounts = Mapping[str, Mapping[str, Mapping[str, int]]]

_DTYPES: dict[str, type[np.generic]] = {
    "vcpus_capacity": np.int64, "memory_capacity_mib": np.int64, "disk_capacity_gib": np.int64,
    "vcpus_claimed": np.int64, "memory_claimed_mib": np.int64, "disk_claimed_gib": np.int64,
    "vcpus_expected": np.int64, "memory_expected_mib": np.int64, "disk_expected_gib": np.int64,
    "expected_until": np.float64, "generation": np.int64, "failed_builds": np.int64,
    "instances": np.int64, "instances_expected": np.int64, "io_ops": np.int64,
    "enabled": np.bool_, "is_up": np.bool_, "zone": np.int64, "hypervisor": np.int64,
    "hardware": np.int64, "membership": np.int64, "ip_high": np.uint64, "ip_low": np.uint64,
}  # fmt: skip
_FIRST_ROOM = 64
_LOW_BITS = (1 << 64) - 1
_V4_MAPPED = 0xFFFF << 32


class HostColumns:
    """Columns over the same hosts: row i of each is host i.

    `zone`, `hypervisor`, `hardware` and `membership` hold numbers of kinds: positions in `zones`,
    `hypervisors` and so on. `io_ops`: operations under way. `ip_high` and `ip_low` are the halves
    of the host's address, as IPv6. `image_counts`: for the weigher of images, by host and property,
    how many instances have each value.
    """

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
    instances: Ints
    instances_expected: Ints
    io_ops: Ints
    enabled: Mask
    is_up: Mask
    zone: Ints
    hypervisor: Ints
    hardware: Ints
    membership: Ints
    ip_high: Words
    ip_low: Words

    def __init__(self, kinds: Kinds, image_counts: ImageCounts) -> None:
        self._kinds = kinds
        self.image_counts = image_counts
        self.names: list[Candidate] = []

    @property
    def zones(self) -> list[str]:
        """Every zone."""
        return self._kinds.zones.values

    @property
    def hypervisors(self) -> list[Hypervisor]:
        """Every hypervisor."""
        return self._kinds.hypervisors.values

    @property
    def hardware_kinds(self) -> list[Hardware]:
        """Every kind of machine."""
        return self._kinds.hardware.values

    @property
    def memberships(self) -> list[Membership]:
        """Every set of aggregates' metadata."""
        return self._kinds.memberships.values

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

    @property
    def instances_soon(self) -> Ints:
        """Instances on a host, those included that are expected to come."""
        return self.instances + self.instances_expected

    @property
    def io_ops_soon(self) -> Ints:
        """Operations under way on a host, those included that are expected to begin."""
        return self.io_ops + self.instances_expected

    def by_hypervisor(self, judge: Callable[[Hypervisor], bool]) -> Mask:
        """What `judge` says of each host's hypervisor."""
        return _looked_up(self.hypervisors, judge, self.hypervisor)

    def by_hardware(self, judge: Callable[[Hardware], bool]) -> Mask:
        """What `judge` says of each host's machine."""
        return _looked_up(self.hardware_kinds, judge, self.hardware)

    def least(self, key: str, default: float) -> Floats:
        """For each host the least number that its aggregates have under `key`, or `default`."""
        found: Floats = self._kinds.least(key, default)[self.membership]
        return found

    def figures(self, by_host: Mapping[str, int]) -> Ints:
        """A figure of each host by its name; 0 for those that have none."""
        found = (by_host.get(name.host, 0) for name in self.names)
        return np.fromiter(found, np.int64, len(self))

    def named(self, hosts: Iterable[str]) -> Mask:
        """The hosts of these names."""
        return np.greater(self.figures(dict.fromkeys(hosts, 1)), 0)

    def by_membership(self, judge: Callable[[Membership], bool]) -> Mask:
        """What `judge` says of the aggregates of each host."""
        return _looked_up(self.memberships, judge, self.membership)


_K = TypeVar("_K")


def _looked_up(kinds: Sequence[_K], judge: Callable[[_K], bool], of_rows: Ints) -> Mask:
    if len(of_rows) < len(kinds):  # one host that is looked at again, for instance
        return np.fromiter((judge(kinds[number]) for number in of_rows), np.bool_, len(of_rows))
    answers: Mask = np.fromiter(map(judge, kinds), np.bool_, len(kinds))[of_rows]
    return answers


class HostTable(HostColumns):
    """All hosts; grows as they appear. The order of rows means nothing.

    `members`: where members of server groups are expected.
    """

    def __init__(self) -> None:
        super().__init__(Kinds(), {})
        self.members = ExpectedMembers()
        self._clear(_FIRST_ROOM)

    def _clear(self, room: int) -> None:
        self._kinds = Kinds()
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
            self.io_ops[self._row_of[node.report.uuid]] = node.building

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
            # Who has just come is under way, as far as is known before `see_io_ops`.
            self.io_ops[row] += max(0, node.instances - self.instances[row])
        self.names[row] = Candidate(host_uuid=report.uuid, host=report.host, node=report.node)
        self._rows_of_host.setdefault(report.host, set()).add(row)
        capacity = capacity_of(node)
        high, low = _halves(report.host_ip)
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
            "instances": node.instances,
            "instances_expected": 0,
            "ip_high": high,
            "ip_low": low,
            **self._kinds.numbers_of(node),
        }  # fmt: skip
        for name, value in values.items():
            self._store[name][row] = value

    def _new_row(self, uuid: str) -> int:
        row = len(self.names)
        if row == len(self._store["generation"]):
            for name, column in self._store.items():
                self._store[name] = np.concatenate([column, np.zeros_like(column)])
        for column in self._store.values():
            column[row] = 0  # a host that is gone may have had this row
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

    # --- what this scheduler expects ---

    def expect(self, row: int, need: Resources, until: float) -> None:
        """Count `need` as taken from a host until its next delta, or the moment `until`."""
        self.vcpus_expected[row] += need.vcpus
        self.memory_expected_mib[row] += need.memory_mib
        self.disk_expected_gib[row] += need.disk_gib
        self.instances_expected[row] += 1
        self.expected_until[row] = until

    def forget_expected(self, now: float) -> bool:
        """Drop what was expected until `now` or earlier; whether there was any."""
        rows = np.flatnonzero((self.expected_until > 0) & (self.expected_until <= now))
        for column in (
            self.vcpus_expected, self.memory_expected_mib, self.disk_expected_gib,
            self.instances_expected, self.expected_until,
        ):  # fmt: skip
            column[rows] = 0
        return self.members.forget(now) or bool(len(rows))

    # --- what is looked at from time to time ---

    def see_io_ops(self, by_host: Mapping[str, int]) -> None:
        """How many operations are under way on each host; 0 where none is named."""
        self.io_ops[:] = self.figures(by_host)

    def see_images(self, counts: ImageCounts) -> None:
        """How many instances of each host have which image properties."""
        self.image_counts = counts

    # --- rows ---

    def figures(self, by_host: Mapping[str, int]) -> Ints:
        """As of any columns; looks at those hosts only that have a figure."""
        found = np.zeros(len(self), np.int64)
        for host, figure in by_host.items():
            for row in self._rows_of_host.get(host, ()):
                found[row] = figure
        return found

    def rows_of(self, host: str) -> list[int]:
        """The rows of a host, by its name; more than one when it has several nodes."""
        return sorted(self._rows_of_host.get(host, ()))

    def only(self, row: int) -> HostColumns:
        """The columns of one row, as views: a change of the table shows in them."""
        one = HostColumns(self._kinds, self.image_counts)
        one.names = [self.names[row]]
        for name, values in self._store.items():
            setattr(one, name, values[row : row + 1])
        return one


def _halves(address: str) -> tuple[int, int]:
    """The upper and lower 64 bits of an address, as IPv6; 0 for what is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return 0, 0
    number = int(found) if found.version == 6 else int(found) | _V4_MAPPED
    return number >> 64, number & _LOW_BITS


def capacity_of(node: ComputeNode) -> Resources:
    """What may be claimed of a host in all: (total - reserved) x ratio, rounded down."""
    report, total, reserved = node.report, node.report.total, node.report.reserved
    return Resources(
        vcpus=int((total.vcpus - reserved.vcpus) * report.cpu_ratio),
        memory_mib=int((total.memory_mib - reserved.memory_mib) * report.memory_ratio),
        disk_gib=int((total.disk_gib - reserved.disk_gib) * report.disk_ratio),
    )

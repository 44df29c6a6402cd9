# SPDX-License-Identifier: Apache-2.0
"""How a guest's CPUs are laid out: sockets, cores, threads, NUMA nodes. Rules, no XML.

Names and meaning of the wishes are the Compute service's documented ones (CPU topologies).
"""

import math
import re
from dataclasses import dataclass

from common.guest_hardware.wishes import Wishes
from common.objects.flavor import Flavor

_PARTS = ("sockets", "cores", "threads")
_CPU_POLICIES = ("shared", "dedicated", "mixed")
_NO_LIMIT = 1 << 16
# More than any host gives a guest: sets of so many are not even made.
_MOST_CPUS, _MOST_NODES = 1 << 12, 1 << 8
_HUGE_PAGE_KIB = 2048
_PAGE_UNITS_KIB = {"": 1, "k": 1, "m": 1024, "g": 1024**2, "t": 1024**3}


@dataclass(frozen=True)
class CpuTopology:
    """sockets x cores x threads = vCPUs."""

    sockets: int
    cores: int = 1
    threads: int = 1


@dataclass(frozen=True)
class NumaNode:
    """A node of the guest: its CPUs, and its memory in MiB."""

    cpus: frozenset[int]
    memory_mib: int


def choose_topology(wishes: Wishes, vcpus: int) -> CpuTopology:
    """The layout that keeps to the maxima and follows most preferences.

    Among equals the one with most sockets. The image's preference goes before the flavor's.
    Raises: ImageUnacceptable, when no layout of `vcpus` keeps to the maxima.
    """
    most = {part: _maximum(wishes, part) for part in _PARTS}
    preferred = {part: _preference(wishes, part) for part in _PARTS}
    divisors = _divisors(vcpus)
    candidates = [
        CpuTopology(vcpus // (cores * threads), cores, threads)
        for threads in divisors
        if threads <= most["threads"]
        for cores in divisors
        if cores <= most["cores"]
        if vcpus % (cores * threads) == 0 and vcpus // (cores * threads) <= most["sockets"]
    ]
    if not candidates:
        limits = ", ".join(f"{most[part]} {part}" for part in _PARTS if most[part] < _NO_LIMIT)
        wishes.refuse(f"{vcpus} CPUs cannot be laid out in at most {limits}")

    def rank(layout: CpuTopology) -> tuple[int, int, int]:
        followed = sum(preferred[part] == getattr(layout, part) for part in _PARTS)
        return followed, layout.sockets, -layout.threads

    return max(candidates, key=rank)


def _divisors(number: int) -> list[int]:
    low = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*low, *(number // n for n in low)})


def _maximum(wishes: Wishes, part: str) -> int:
    spec, image = f"hw:cpu_max_{part}", f"hw_cpu_max_{part}"
    asked = wishes.bounded(spec, image)
    return asked or wishes.number(wishes.specs, spec) or _NO_LIMIT


def _preference(wishes: Wishes, part: str) -> int | None:
    by_image = wishes.bounded(f"hw:cpu_max_{part}", f"hw_cpu_{part}")
    return by_image or wishes.number(wishes.specs, f"hw:cpu_{part}")


def choose_nodes(wishes: Wishes, vcpus: int, memory_mib: int) -> tuple[NumaNode, ...]:
    """The guest's NUMA nodes; none when nobody asks for any.

    CPUs and memory are split evenly unless each node is described by `hw:numa_cpus.N` and
    `hw:numa_mem.N`. Raises: ImageUnacceptable.
    """
    text = wishes.text("hw:numa_nodes", "hw_numa_nodes")
    if text is None:
        return ()
    if not text.isdecimal() or int(text) < 1:
        wishes.refuse(f"hw:numa_nodes={text} is no number of nodes")
    count = int(text)
    if count > _MOST_NODES:
        wishes.refuse(f"hw:numa_nodes={text} is more than any host has")
    described = [_described(wishes, node) for node in range(count)]
    if any(described):
        return _as_described(wishes, described, vcpus, memory_mib)
    if vcpus % count or memory_mib % count:
        wishes.refuse(f"{vcpus} CPUs and {memory_mib} MiB do not split evenly into {count} nodes")
    share = len(_all_cpus(wishes, vcpus)) // count
    return tuple(
        NumaNode(frozenset(range(n * share, (n + 1) * share)), memory_mib // count)
        for n in range(count)
    )


def _described(wishes: Wishes, node: int) -> tuple[str, str] | None:
    cpus = wishes.text(f"hw:numa_cpus.{node}", f"hw_numa_cpus.{node}")
    memory = wishes.text(f"hw:numa_mem.{node}", f"hw_numa_mem.{node}")
    if (cpus is None) != (memory is None):
        wishes.refuse(f"NUMA node {node} needs both hw:numa_cpus.{node} and hw:numa_mem.{node}")
    return None if cpus is None or memory is None else (cpus, memory)


def _as_described(
    wishes: Wishes, described: list[tuple[str, str] | None], vcpus: int, memory_mib: int
) -> tuple[NumaNode, ...]:
    nodes = []
    for number, words in enumerate(described):
        if words is None:
            wishes.refuse(f"NUMA node {number} is not described, others are")
            break
        if not words[1].isdecimal():
            wishes.refuse(f"hw:numa_mem.{number}={words[1]} is no number of MiB")
        nodes.append(NumaNode(cpu_set(wishes, f"hw:numa_cpus.{number}", words[0]), int(words[1])))
    every = [cpu for node in nodes for cpu in node.cpus]
    if len(every) != vcpus or sorted(every) != list(range(vcpus)):
        wishes.refuse(f"hw:numa_cpus must name each of the {vcpus} CPUs once")
    if sum(node.memory_mib for node in nodes) != memory_mib:
        wishes.refuse(f"hw:numa_mem must add up to {memory_mib} MiB")
    return tuple(nodes)


def parse_cpus(text: str) -> frozenset[int]:
    """CPUs of a text such as `0-3,^2`. Raises: ValueError."""
    wanted: set[int] = set()
    excluded: set[int] = set()
    for part in text.replace(" ", "").split(","):
        target = excluded if part.startswith("^") else wanted
        first, _, last = part.removeprefix("^").partition("-")
        if int(last or first) - int(first) > _NO_LIMIT:
            raise ValueError(f"{part} names too many CPUs")
        target.update(range(int(first), int(last or first) + 1))
    return frozenset(wanted - excluded)


def cpu_set(wishes: Wishes, name: str, text: str) -> frozenset[int]:
    """CPUs that a wish names. Raises: ImageUnacceptable."""
    try:
        return parse_cpus(text)
    except ValueError:
        wishes.refuse(f"{name}={text} is no set of CPUs")
        return frozenset()


def mask_of(wishes: Wishes, name: str, text: str, vcpus: int) -> frozenset[int]:
    """CPUs of the guest that a mask names; one that only excludes starts from all of them.

    Raises: ImageUnacceptable.
    """
    if all(part.strip().startswith("^") for part in text.split(",")):
        text = f"0-{vcpus - 1},{text}"
    found = cpu_set(wishes, name, text)
    if not found <= frozenset(range(vcpus)):
        wishes.refuse(f"{name}={text} names CPUs that a guest of {vcpus} has not")
    return found


def page_kib(wishes: Wishes, text: str | None) -> int | None:
    """KiB of the pages that `hw:mem_page_size` asks for; None: the usual ones.

    Raises: ImageUnacceptable.
    """
    if text is None or text.lower() in ("small", "any"):
        return None
    if text.lower() == "large":
        return _HUGE_PAGE_KIB
    match = re.fullmatch(r"(\d+)\s*([kmgt]?)i?(?:b|bit)?", text.lower())
    if match is None:
        wishes.refuse(f"hw:mem_page_size={text} is no size")
        return None
    kib = int(match[1]) * _PAGE_UNITS_KIB[match[2]]
    return None if kib <= 4 else kib


def dedicated_cpus(wishes: Wishes, vcpus: int) -> frozenset[int]:
    """CPUs of the guest that `hw:cpu_policy` wants CPUs of the host for, shared with nobody.

    Raises: ImageUnacceptable.
    """
    policy = wishes.one_of("hw:cpu_policy", "hw_cpu_policy", _CPU_POLICIES, "shared")
    if policy == "shared":
        return frozenset()
    every = _all_cpus(wishes, vcpus)
    if policy == "dedicated":
        return every
    mask = wishes.of_flavor("hw:cpu_dedicated_mask")
    if mask is None:
        wishes.refuse("hw:cpu_policy=mixed needs hw:cpu_dedicated_mask")
    wanted = mask_of(wishes, "hw:cpu_dedicated_mask", str(mask), vcpus)
    if not wanted or wanted == every:
        wishes.refuse(f"hw:cpu_dedicated_mask={mask} must leave some CPUs, and take some")
    return wanted


def isolates_emulator(flavor: Flavor) -> bool:
    """Whether the hypervisor's own threads get a CPU of the host, beside the guest's."""
    policy = flavor.extra_specs.get("hw:emulator_threads_policy", "")
    return policy.strip().lower() == "isolate"


def _all_cpus(wishes: Wishes, vcpus: int) -> frozenset[int]:
    if vcpus > _MOST_CPUS:
        wishes.refuse(f"{vcpus} CPUs are more than any host has")
    return frozenset(range(vcpus))


def memory_pages(wishes: Wishes) -> tuple[int | None, bool]:
    """KiB of the guest's pages (None: the usual ones), and whether they stay in memory.

    Raises: ImageUnacceptable.
    """
    text = wishes.text("hw:mem_page_size", "hw_mem_page_size")
    locked = wishes.is_on("hw:locked_memory", "hw_locked_memory")
    if locked and text is None:
        wishes.refuse("hw:locked_memory needs hw:mem_page_size")
    return page_kib(wishes, text), locked

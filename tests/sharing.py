# SPDX-License-Identifier: Apache-2.0
"""How `deploy/test` shares the suite among processes (pytest-xdist).

Most tests wait for servers more than they compute, so that processes beyond the cores pay. Tests
that share servers, or a machine's libvirt, stay in one process and in order.
"""

from collections.abc import Iterable
from typing import Any

from xdist.scheduler import LoadScopeScheduling

# What takes minutes is begun first, so that no process has it left when the others are done.
_LONG = ("chaos", "integration", "tests/integration/compute/test_real_volumes.py", "functional/api")
# Emulated guests take all that the cores have, other tests wait: these kinds take turns.
_SLOW_KINDS = ("chaos", "conformance", "functional", "integration")


class ByServers(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process whole groups of tests: those of `group`."""

    def __init__(self, config: Any, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """The tests that have to run in one process with this one."""
    _, kind, *folders, name = (file := nodeid.partition("::")[0]).split("/")
    match kind, folders:
        case "chaos", _:
            return kind
        case "integration", ["compute"] if name.startswith("test_lxc"):
            return f"{file.rpartition('/')[0]}/lxc"  # they look for free loop devices
        case "integration", ["compute"]:
            return file  # each has hosts of its own
        case "integration", [folder]:
            return f"{kind}/{folder}"
        case "integration", _:
            return kind  # `deploy/up`
        case "functional", [folder, *_] if folder != "journal":
            return f"{kind}/{folder}"
    return file


def places(nodeids: Iterable[str]) -> dict[str, float]:
    """By group, which tests go before which: lower ones first."""
    kinds: dict[str, list[str]] = {}
    for nodeid in nodeids:
        of_kind = kinds.setdefault(nodeid.split("/")[1], [])
        if (its := group(nodeid)) not in of_kind:
            of_kind.append(its)
    found = {}
    for kind, groups in kinds.items():
        groups.sort(key=lambda its: its not in _LONG)
        for number, its in enumerate(groups):
            found[its] = number / len(groups) if kind in _SLOW_KINDS else 1.0
    return found

# SPDX-License-Identifier: Apache-2.0
"""Options of the whole suite, what it says at its end, and how it is shared among processes.

`deploy/test` runs it in several processes (pytest-xdist). Most tests wait for servers more than
they compute; those that share servers, or a machine's libvirt, stay together and in order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_TESTS = Path(__file__).parent
_LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz", type=int, default=2000, metavar="N",
        help="how many requests tests/functional/fuzz sends, about (default 2000)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LINES] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = _group(item.path.relative_to(_TESTS))
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))


def _group(file: Path) -> str | None:
    """Which tests run in one process; None: wherever there is room."""
    kind, *rest = file.parts
    if kind in ("unit", "contracts"):
        return None
    if kind in ("chaos", "integration"):
        return kind
    if kind == "conformance" or rest[0] == "journal":
        return str(file)
    return f"{kind}/{rest[0]}"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    node.config.stash[_LINES] += getattr(node, "workeroutput", {}).get("lines", [])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["lines"] = session.config.stash[_LINES]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash[_LINES]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Has a line printed at the end of the run."""
    return pytestconfig.stash[_LINES].append

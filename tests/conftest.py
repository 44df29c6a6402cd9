# SPDX-License-Identifier: Apache-2.0
"""Options of the whole suite, and what it says at its end."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import leftovers, ours
from tests.functional.postgres import *  # noqa: F403
from tests.functional.rabbitmq import *  # noqa: F403
from tests.sharing import ByServers, group, places

_LINES = pytest.StashKey[list[str]]()
_WORDS = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz", type=int, default=2000, metavar="N",
        help="how many requests tests/functional/fuzz sends, about (default 2000)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LINES] = []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Before workers are started, which are part of the run."""
    if not hasattr(session.config, "workerinput"):
        session.config.stash[_WORDS] = ours.begin()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return ByServers(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        order = places(item.nodeid for item in items)
        items.sort(key=lambda item: order[group(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    node.config.stash[_LINES] += getattr(node, "workeroutput", {}).get("lines", [])


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """When tests and workers have ended, nothing of theirs may be on the machine."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["lines"] = session.config.stash[_LINES]
    yield
    words = session.config.stash.get(_WORDS, None)
    if words is None:
        return
    left = [] if os.environ.get("KILONOVA_KEEP") else leftovers.find(words)
    words.unlink()
    if left:
        session.config.stash[_LINES] += ["", "Left on the machine by this run:", *left]
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash[_LINES]:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Has a line printed at the end of the run."""
    return pytestconfig.stash[_LINES].append

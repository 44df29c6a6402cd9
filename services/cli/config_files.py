# SPDX-License-Identifier: Apache-2.0
"""Checking configuration files: unknown groups and options, and values that cannot be.

oslo.config ignores what it does not know, so a misspelt option silently keeps its default. What
may stand in a file is every option of kilonova and of the libraries that read the same file.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from keystoneauth1 import loading

import common.rpc  # noqa: F401 - chooses threads before oslo.messaging's options are read
from common import config

_DEFAULT = "DEFAULT"
# Libraries whose options stand in the same file, by their entry point in `oslo.config.opts`.
_LIBRARIES = (
    "oslo.log", "oslo.messaging", "oslo.policy",
    "keystonemiddleware.auth_token",
)  # fmt: skip
# Groups with credentials: keystoneauth adds the options of whichever plug-in is chosen.
_CREDENTIALS = ("keystone_authtoken", "service_user")
_PLUGINS = ("password", "v3password", "v3applicationcredential", "v3token")

Known = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Setting:
    """A line `name = value` of a file; continuation lines are part of the value."""

    line: int
    group: str
    name: str
    value: str


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what may have been meant."""

    file: str
    line: int
    group: str
    option: str | None
    problem: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f"[{self.group}]" + (f" {self.option}" if self.option else "")
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.file}:{self.line}: {where}: {self.problem}{hint}"


def known_options() -> Known:
    """Group -> option name (older spellings too) -> the option."""
    known: Known = {_DEFAULT: {}}
    for group, options in _every_option():
        names = known.setdefault(_group_name(group), {})
        for option in options:
            names |= dict.fromkeys((option.dest, option.name.replace("-", "_")), option)
            for old in option.deprecated_opts:
                older = known.setdefault(old.group or _group_name(group), {})
                older.setdefault((old.name or option.name).replace("-", "_"), option)
    return known


def _group_name(group: Any) -> str:
    return str(getattr(group, "name", group) or _DEFAULT)


def _every_option() -> Iterator[tuple[Any, Iterable[Any]]]:
    yield from config.list_opts()
    for point in entry_points(group="oslo.config.opts"):
        if point.name in _LIBRARIES:
            yield from point.load()()
    for group in _CREDENTIALS:
        yield group, loading.get_auth_common_conf_options()
        for plugin in _PLUGINS:
            yield group, loading.get_auth_plugin_conf_options(plugin)


def check(file: Path, known: Known) -> list[Problem]:
    """What is wrong with a file, in the order of its lines. Raises: OSError."""
    problems: list[Problem] = []
    unknown_groups: set[str] = set()

    def report(line: int, group: str, option: str | None, text: str, meant: str | None) -> None:
        problems.append(Problem(str(file), line, group, option, text, meant))

    for entry in _entries(file.read_text()):
        if isinstance(entry, tuple):
            line, text = entry
            report(line, _DEFAULT, None, f"cannot be read: {text!r}", None)
        elif entry.group not in known:
            if entry.group not in unknown_groups:
                unknown_groups.add(entry.group)
                meant = _closest(entry.group, known)
                report(entry.line, entry.group, None, "unknown group", meant and f"[{meant}]")
        elif entry.name not in known[entry.group]:
            report(entry.line, entry.group, entry.name, "unknown option", _meant(entry, known))
        elif complaint := _complaint(known[entry.group][entry.name], entry.value):
            report(entry.line, entry.group, entry.name, complaint, None)
    return problems


def settings_of(file: Path) -> int:
    """How many settings a file has."""
    return sum(isinstance(entry, Setting) for entry in _entries(file.read_text()))


def _entries(text: str) -> Iterator[Setting | tuple[int, str]]:
    """Settings, and (line, text) for what is neither setting, group nor comment.

    The rules are oslo.config's: `=` or `:`, whichever comes first, and a line that begins with a
    blank continues the value before it.
    """
    group, pending = _DEFAULT, None
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if pending is not None and line[:1].isspace() and stripped:
            pending = Setting(
                pending.line, pending.group, pending.name, f"{pending.value}\n{stripped}"
            )
            continue
        if pending is not None:
            yield pending
            pending = None
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[" and stripped[-1] == "]":
            group = stripped[1:-1]
            continue
        at = min((i for i in (line.find("="), line.find(":")) if i > 0), default=-1)
        if at < 0:
            yield number, stripped
        else:
            pending = Setting(number, group, line[:at].strip(), _unquoted(line[at + 1 :].strip()))
    if pending is not None:
        yield pending


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _meant(setting: Setting, known: Known) -> str | None:
    """A similar option of the group, or a group that has an option of this very name."""
    similar = _closest(setting.name, known[setting.group])
    if similar:
        return similar
    owners = [group for group, names in known.items() if setting.name in names]
    return f"{setting.name} in [{owners[0]}]" if len(owners) == 1 else None


def _closest(word: str, among: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word, list(among), n=1, cutoff=0.7)
    return found[0] if found else None


def _complaint(option: Any, value: str) -> str | None:
    """Why `value` is none for the option; None when it is one, or names another option by `$`."""
    if "$" in value:
        return None
    try:
        option.type(value)
    except ValueError as wrong:
        return "bad value" if option.secret else f"bad value {value!r}: {wrong}"
    return None

# SPDX-License-Identifier: Apache-2.0
"""Showing results: a table for people, JSON or YAML for programs.

A result is a list of records or one record; programs get all of it, the table the columns that a
command names. What comes from the cloud is text, never markup or terminal control.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import yaml  # type: ignore[import-untyped]
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]
_Command = Callable[..., Any]
_Decorator = Callable[[_Command], _Command]
_GOOD = frozenset(("up", "enabled", "active", "done", "yes", "success", "healthy"))
_BAD = frozenset(("down", "error", "failed", "undone", "no", "unhealthy", "disabled"))
# Wide enough that a table is never folded when a program or a file takes it.
_UNFOLDED = 2000
_PROSE_WIDTH = 24
# A table shows times to the second; programs get all of them.
_FRACTION = re.compile(r"(T\d\d:\d\d:\d\d)\.\d+")
_UNITS = {"mib": "MiB", "gib": "GiB", "ms": "ms", "s": "s", "vcpus": "vCPUs"}


@dataclass(frozen=True)
class Column:
    """A column of a table: the record's key, and its title.

    `coloured`: good green, bad red. `prose`: folded where there is little room. `extra`: left out
    where there is too little.
    """

    key: str
    title: str
    coloured: bool = False
    prose: bool = False
    extra: bool = False


@dataclass(frozen=True)
class Output:
    """Writes results in one format."""

    format: str

    def many(self, records: Iterable[Record], columns: Sequence[Column]) -> None:
        """A list of records."""
        rows = list(records)
        if self.format != "table":
            self._data(rows)
            return
        target = console()
        target.print(_fitting(target, rows, columns))

    def one(self, record: Record, *tables: tuple[str, str, Sequence[Column]]) -> None:
        """One record. `tables` names keys that hold records of their own, shown below it as
        (key, title, columns)."""
        if self.format != "table":
            self._data(record)
            return
        inner = {key for key, _, _ in tables}
        table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, collapse_padding=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for key, value in record.items():
            if key not in inner:
                table.add_row(_label(key), _cell(value, coloured=True))
        console().print(table)
        for key, title, columns in tables:
            if record[key]:
                console().print(Text(title, style="bold"))
                self.many(record[key], columns)

    def _data(self, value: Any) -> None:
        if self.format == "json":
            click.echo(json.dumps(value, indent=2, default=str))
        else:
            click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)


def formatted(command: _Command) -> _Command:
    """Give a command `-f`; it gets an Output as its argument `output`."""
    option: _Decorator = click.option(
        "-f",
        "--format",
        "output",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        callback=lambda ctx, parameter, value: Output(value),
        help="How to show the result.",
    )
    return option(command)


def console() -> Console:
    """Standard output: folded to a terminal's width, and to no width elsewhere."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_UNFOLDED)


def _fitting(target: Console, rows: Sequence[Record], columns: Sequence[Column]) -> Table:
    """The table with as many columns as there is room for."""
    shown = list(columns)
    unlimited = target.options.update(width=_UNFOLDED)
    while extra := [column for column in shown if column.extra]:
        folded = _table(rows, shown, at_least=True)
        if Measurement.get(target, unlimited, folded).maximum <= target.width:
            break
        shown.remove(extra[-1])
    return _table(rows, shown)


def _table(rows: Sequence[Record], columns: Sequence[Column], *, at_least: bool = False) -> Table:
    """`at_least`: with prose as narrow as it is still pleasant to read."""
    prose_width = _PROSE_WIDTH if at_least else None
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, collapse_padding=True)
    for column in columns:
        if column.prose:
            table.add_column(column.title, overflow="fold", max_width=prose_width)
        else:
            table.add_column(column.title, no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row.get(column.key), column.coloured) for column in columns))
    return table


def _cell(value: Any, coloured: bool) -> Text:
    text = _printable(_plain(value))
    style = ""
    if coloured and text.lower() in _GOOD:
        style = "green"
    elif coloured and text.lower() in _BAD:
        style = "red"
    return Text(text, style=style)


def _plain(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return _FRACTION.sub(r"\1", str(value))


def _label(key: str) -> str:
    """`memory_mib` is called `memory MiB`."""
    return " ".join(_UNITS.get(word, word) for word in key.split("_"))


def _printable(text: str) -> str:
    """Control characters spelled out: a server's name shall not drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)

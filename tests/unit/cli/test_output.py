# SPDX-License-Identifier: Apache-2.0
"""People get a table, programs get everything, and nothing drives the terminal."""

import io
import json

import pytest
import yaml
from rich.console import Console

from services.cli import output
from services.cli.output import Column, Output

ROWS = [
    {"id": "a1", "state": "up", "host": None, "tags": ["x", "y"], "more": {"used": 1}},
    {"id": "b2", "state": "down", "host": "h" * 300, "tags": [], "more": True},
]
COLUMNS = (Column("id", "ID"), Column("state", "State", coloured=True), Column("host", "Host"))


def test_a_table_has_the_named_columns_and_is_not_folded_in_a_pipe(capsys):
    Output("table").many(ROWS, COLUMNS)

    lines = capsys.readouterr().out.splitlines()
    assert [w for w in lines[1].split() if w.isalnum()] == ["ID", "State", "Host"]
    assert "h" * 300 in lines[4]
    assert "- " in lines[3]


@pytest.mark.parametrize(("name", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_get_whole_records(capsys, name, load):
    Output(name).many(ROWS, COLUMNS)

    assert load(capsys.readouterr().out) == ROWS


@pytest.mark.parametrize("name", ["json", "yaml"])
def test_no_rows_are_an_empty_list(capsys, name):
    Output(name).many([], COLUMNS)

    assert capsys.readouterr().out == "[]\n"


def test_a_record_shows_its_inner_records_as_a_table_of_their_own(capsys):
    inner = (Column("n", "Number"),)

    Output("table").one({"name": "x", "parts": [{"n": 1}], "none": []},
                        ("parts", "Parts", inner), ("none", "Nothing", inner))  # fmt: skip

    shown = capsys.readouterr().out
    assert "Parts" in shown
    assert "Number" in shown
    assert "Nothing" not in shown


def test_where_there_is_little_room_extra_columns_go_and_prose_is_folded():
    columns = (Column("id", "ID"), Column("more", "More", extra=True),
               Column("why", "Why", prose=True))  # fmt: skip
    row = {"id": "a" * 36, "more": "m" * 30, "why": "one two three four five six seven eight"}

    def shown(width: int) -> list[str]:
        console = Console(width=width, file=io.StringIO())
        console.print(output._fitting(console, [row], columns))
        return console.file.getvalue().split()

    assert shown(200)[:3] == ["ID", "More", "Why"]
    assert shown(70)[:2] == ["ID", "Why"]
    assert "a" * 36 in shown(70)
    row["why"] = "-"
    assert shown(75)[:3] == ["ID", "More", "Why"]
    row["why"] = "one two three four five six seven eight"
    assert "eight" in shown(70)


def test_names_are_neither_markup_nor_terminal_control(capsys):
    Output("table").many([{"id": "[red]x[/red]\x1b[2J\u202eevil"}], (Column("id", "ID"),))

    shown = capsys.readouterr().out
    assert "[red]x[/red]\\x1b[2J\\u202eevil" in shown
    assert "\x1b" not in shown

# SPDX-License-Identifier: Apache-2.0
"""The last lines of a console."""

import pytest

from services.conductor.endpoint.servers import last_lines


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("a\nb\nc\n", 1, ""),
        ("a\nb\nc", 1, "c"),
        ("a\nb\nc\n", 2, "c\n"),
        ("a\nb\n", 5, "a\nb\n"),
        ("a\n\n\n", 2, "\n"),
        ("", 3, ""),
        ("a", 0, ""),
        ("a\nb\n", -1, ""),
    ],
)
def test_as_many_lines_as_asked_for_and_no_more(text, count, expected):
    assert last_lines(text, count) == expected

# SPDX-License-Identifier: Apache-2.0
"""What extra specs ask of values, operator by operator."""

import pytest

from services.scheduler.requirements import Requirement


@pytest.mark.parametrize(
    ("asked", "value", "met"),
    [
        ("x86", "x86", True), ("x86", "x86_64", False), ("", "", True), ("two words", "two", False),
        ("= 4", "5", True), ("= 4", "3", False), ("= 4", "many", False), ("= many", "4", False),
        ("== 4", "4.0", True), ("!= 4", "4", False), (">= 10", "9", False), ("<= 10", "9", True),
        ("s== a", "a", True), ("s!= a", "a", False), ("s< b", "a", True), ("s<= a", "a", True),
        ("s> 9", "10", False), ("s>= 10", "9", True),
        ("<in> avx", "sse avx2", True), ("<in> avx", "sse", False),
        ("<all-in> aes mmx", "['mmx', 'aes']", True), ("<all-in> aes mmx", "['mmx']", False),
        ("<or> a b <or> c", "a b", True), ("<or> a b <or> c", "c", True),
        ("<or> a b <or> c", "b", False),
        ("<in>", "anything", False), ("=", "0", False), ("<or>", "", False),
        ("<unknown> a", "<unknown> a", True),
    ],
)  # fmt: skip
def test_a_value_is_what_was_asked_for_or_not(asked, value, met):
    assert Requirement.parse(asked).is_met_by(value) is met

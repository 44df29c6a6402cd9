# SPDX-License-Identifier: Apache-2.0
"""Scheduler hints: what a request says about where its servers shall be, beside hosts and zones."""

# As they were given, since clients read them back: a text, or a list of texts.
Hints = dict[str, str | list[str]]


def as_lists(hints: Hints) -> dict[str, list[str]]:
    """Each hint as a list, which is how the scheduler reads it."""
    return {name: value if isinstance(value, list) else [value] for name, value in hints.items()}

# SPDX-License-Identifier: Apache-2.0
"""Queries of hosts as users write them: `["and", [">=", "$free_ram_mb", 1024], ...]`.

A query is JSON: a list of an operator and its arguments, which are queries, values, or `$` and the
name of an attribute (services/scheduler/attributes.py; its parts are joined by dots). It is bounded
in size and depth when it is read, and then works on whole columns.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import repeat
from typing import Any

import msgspec
import numpy as np

from common.errors import Invalid
from services.scheduler import attributes
from services.scheduler.host_table import HostColumns, Mask

_LONGEST = 4096
_MOST_PARTS = 32
_DEEPEST = 8
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
}  # fmt: skip
_OPERATORS = frozenset((*_COMPARE, "in", "not", "and", "or"))
_VARIABLE = "$"
_HUGE = 1 << 62


def parse(text: str) -> list[Any]:
    """A query that can be evaluated. Raises: Invalid, saying what is wrong with it."""
    if len(text) > _LONGEST:
        raise Invalid(f"it is longer than {_LONGEST} characters")
    try:
        query = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as broken:
        raise Invalid("it is no JSON") from broken
    if not isinstance(query, list):
        raise Invalid("it is no list")
    if _check(query, 1) > _MOST_PARTS:
        raise Invalid(f"it has more than {_MOST_PARTS} parts")
    return query


def _check(query: list[Any], depth: int) -> int:
    """How many parts a query has. Raises: Invalid."""
    if depth > _DEEPEST:
        raise Invalid(f"it is deeper than {_DEEPEST} levels")
    if not query or not isinstance(query[0], str) or query[0] not in _OPERATORS:
        raise Invalid(f"a list in it does not begin with one of {', '.join(sorted(_OPERATORS))}")
    parts = len(query)
    for part in query[1:]:
        if isinstance(part, list):
            parts += _check(part, depth + 1)
        elif isinstance(part, dict):
            raise Invalid("it has an object in it")
    return parts


def evaluate(query: Sequence[Any], hosts: HostColumns) -> Mask:
    """Which hosts a query that was parsed is true of."""
    word, arguments = query[0], query[1:]
    if word in ("and", "or", "not"):
        masks = [_truth(each, hosts) for each in arguments]
        if not masks:
            return np.zeros(len(hosts), np.bool_)
        if word == "not":
            # As clients know it: of several arguments, that one of them is not so.
            return reduce(np.logical_or, [~mask for mask in masks])
        return reduce(np.logical_and if word == "and" else np.logical_or, masks)
    if len(arguments) < 2:
        return np.zeros(len(hosts), np.bool_)
    first, *others = (_operand(each, hosts) for each in arguments)
    compare = _COMPARE.get(word, operator.eq)
    masks = [_compared(compare, first, each, len(hosts)) for each in others]
    return reduce(np.logical_or if word == "in" else np.logical_and, masks)


def _truth(argument: Any, hosts: HostColumns) -> Mask:
    if isinstance(argument, list):
        return evaluate(argument, hosts)
    return np.fromiter(map(bool, _rows(_operand(argument, hosts), len(hosts))), np.bool_)


def _operand(argument: Any, hosts: HostColumns) -> Any:
    """An argument as a column, or as one value for all hosts; what no host has is None."""
    if isinstance(argument, list):
        return evaluate(argument, hosts)
    if isinstance(argument, str) and argument.startswith(_VARIABLE):
        found = attributes.column(hosts, argument[1:].split("."))
        return None if found is None else found.of_hosts()
    return argument


def _rows(operand: Any, hosts: int) -> Iterable[Any]:
    return operand.tolist() if isinstance(operand, np.ndarray) else repeat(operand, hosts)


def _is_number(operand: Any) -> bool:
    if isinstance(operand, np.ndarray):
        return bool(operand.dtype != np.dtype(object))
    return isinstance(operand, float) or (isinstance(operand, int) and abs(operand) < _HUGE)


def _compared(compare: Callable[[Any, Any], Any], left: Any, right: Any, hosts: int) -> Mask:
    """Compares host by host; what cannot be compared is not so."""
    if _is_number(left) and _is_number(right):
        return np.broadcast_to(np.asarray(compare(left, right), np.bool_), hosts)
    pairs = zip(_rows(left, hosts), _rows(right, hosts), strict=True)
    return np.fromiter((_is(compare, *pair) for pair in pairs), np.bool_, hosts)


def _is(compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    try:
        return bool(compare(left, right))
    except TypeError:
        return False

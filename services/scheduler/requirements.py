# SPDX-License-Identifier: Apache-2.0
"""What a flavor's extra spec asks of a value: an operator and what to compare with.

The operators are those that operators of the Compute API know: `=` (at least), `==`, `!=`, `>=`,
`<=` compare numbers; `s==`, `s!=`, `s<`, `s<=`, `s>`, `s>=` texts; `<in>` wants a part, `<all-in>`
all of several parts, `<or> a <or> b` one of several values. Without operator the value is wanted
itself.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_Judge = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class Requirement:
    """An extra spec's value, taken apart. `word`: its operator; empty for none."""

    text: str
    word: str
    operands: Sequence[str]

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """From an extra spec's value; every text is one."""
        word, *operands = text.split() or [""]
        return cls(text, word, operands) if word in _JUDGES else cls(text, "", ())

    def is_met_by(self, value: str) -> bool:
        """Whether a value is what was asked for."""
        if not self.word:
            return value == self.text
        judge = _JUDGES.get(self.word)
        # An operator without anything to compare with is met by nothing.
        return judge is not None and bool(self.operands) and judge(value, self.operands)


def _numbers(compare: Callable[[float, float], bool]) -> _Judge:
    def judge(value: str, operands: Sequence[str]) -> bool:
        try:
            return compare(float(value), float(operands[0]))
        except ValueError:
            return False

    return judge


def _texts(compare: Callable[[str, str], bool]) -> _Judge:
    return lambda value, operands: compare(value, operands[0])


_JUDGES: dict[str, _Judge] = {
    "=": _numbers(operator.ge),
    "==": _numbers(operator.eq),
    "!=": _numbers(operator.ne),
    ">=": _numbers(operator.ge),
    "<=": _numbers(operator.le),
    "s==": _texts(operator.eq),
    "s!=": _texts(operator.ne),
    "s<": _texts(operator.lt),
    "s<=": _texts(operator.le),
    "s>": _texts(operator.gt),
    "s>=": _texts(operator.ge),
    "<in>": lambda value, operands: operands[0] in value,
    "<all-in>": lambda value, operands: all(part in value for part in operands),
    "<or>": lambda value, operands: value in " ".join(operands).split(" <or> "),
}

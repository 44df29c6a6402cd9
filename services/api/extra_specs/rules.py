# SPDX-License-Identifier: Apache-2.0
"""Whether extra specs are known ones with values that make sense.

`known.json` lists them: a key may hold {parameters}, each with a pattern. A key in a namespace that
is known must be one of the list; what has no namespace, or one that nobody knows, is the operator's
own and passes.
"""

import functools
import re
from collections.abc import Mapping
from importlib import resources

import msgspec
from oslo_utils import strutils

from common.errors import Invalid

_PARAMETER = re.compile(r"\\\{(\w+)\\\}")


class _Spec(msgspec.Struct, frozen=True):
    """A known key, and what values it takes. Bounds hold for whole numbers."""

    key: str
    type: str
    enum: tuple[str, ...] = ()
    pattern: str | None = None
    min: int | None = None
    max: int | None = None
    params: dict[str, str] = {}

    def problem(self, value: str) -> str | None:
        """What is wrong with a value, in words; None when it is fine."""
        if self.type == "int":
            return self._problem_of_number(value)
        if self.type == "bool" and not _is_boolean(value):
            return "it is no boolean"
        if self.enum and value not in self.enum:
            return f"it is none of {', '.join(self.enum)}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"it does not match the pattern {self.pattern}"
        return None

    def _problem_of_number(self, value: str) -> str | None:
        try:
            number = int(value)
        except ValueError:
            return "it is no whole number"
        if self.min is not None and number < self.min:
            return f"it is less than {self.min}"
        if self.max is not None and number > self.max:
            return f"it is more than {self.max}"
        return None


class _File(msgspec.Struct, frozen=True):
    """`known.json`. `params`: patterns that hold for every key."""

    namespaces: tuple[str, ...]
    params: dict[str, str]
    specs: tuple[_Spec, ...]
    traits: tuple[str, ...]


class _Known:
    """The list, made for look-ups: most keys have no parameter."""

    def __init__(self, file: _File) -> None:
        self._namespaces = [re.compile(_regex(each, file.params)) for each in file.namespaces]
        traits = "|".join((*file.traits, "CUSTOM_[A-Z0-9_]+"))
        trait = _Spec(
            "trait{group}:{trait}", "str", ("required", "forbidden"), params={"trait": traits}
        )
        self._plain = {each.key: each for each in file.specs if "{" not in each.key}
        self._patterns = [
            (re.compile(_regex(each.key, file.params | each.params)), each)
            for each in (*file.specs, trait)
            if "{" in each.key
        ]

    def spec(self, key: str) -> _Spec | None:
        """What is known of a key."""
        plain = self._plain.get(key)
        if plain is not None:
            return plain
        return next((each for regex, each in self._patterns if regex.fullmatch(key)), None)

    def is_ours(self, namespace: str) -> bool:
        """Whether every key of a namespace is known."""
        return any(regex.fullmatch(namespace) for regex in self._namespaces)


def _regex(key: str, params: Mapping[str, str]) -> str:
    """A key as a regular expression, with patterns in the places of its parameters."""
    return _PARAMETER.sub(lambda found: f"(?:{params[found[1]]})", re.escape(key))


@functools.cache
def _known() -> _Known:
    """Read on first use: most processes never see an extra spec set."""
    text = resources.files(__package__).joinpath("known.json").read_bytes()
    return _Known(msgspec.json.decode(text, type=_File))


def _is_boolean(value: str) -> bool:
    try:
        strutils.bool_from_string(value, strict=True)
    except ValueError:
        return False
    return True


def check(specs: Mapping[str, str]) -> None:
    """Raises: Invalid, naming the key, for a value that makes no sense or a key nobody knows."""
    known = _known()
    for key, value in specs.items():
        spec = known.spec(key)
        if spec is not None:
            problem = spec.problem(value)
            if problem is not None:
                raise Invalid(f"Invalid value '{value}' of the extra spec '{key}': {problem}.")
            continue
        namespace, colon, _ = key.partition(":")
        if colon and known.is_ours(namespace):
            raise Invalid(
                f"The extra spec '{key}' is not known, and the namespace '{namespace}' has no "
                "others than those that are."
            )

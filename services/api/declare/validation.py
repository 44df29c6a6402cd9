# SPDX-License-Identifier: Apache-2.0
"""Checking a document against a schema: fast when it is right, well worded when it is not.

A compiled validator (jsonschema-rs) says yes. Only what it refuses is looked at by Python's
jsonschema, whose wording is what clients of the Compute API know.
"""

from collections.abc import Callable
from typing import Any

import jsonschema
import jsonschema.validators
import jsonschema_rs

from common.errors import Invalid
from services.api.declare.formats import CHECKS, NAME_RULES
from services.api.declare.types import Schema

# Python refuses to read numbers of thousands of digits, and nobody means them.
_MOST_DIGITS = 100


class BodyInvalid(Invalid):
    """A body that its schema refuses."""


class QueryInvalid(Invalid):
    """A query string that its schema refuses."""


class Checker:
    """Checks documents against one schema. `is_query`: words messages for query strings."""

    def __init__(self, schema: Schema, *, is_query: bool = False) -> None:
        self._is_query = is_query
        self._fast = jsonschema_rs.Draft202012Validator(
            _with_numeric_texts(schema), formats=_TEXT_FORMATS, validate_formats=True
        )
        self._slow = _Worded(schema, format_checker=_FORMAT_CHECKER)

    def check(self, document: Any) -> None:
        """Raises BodyInvalid or QueryInvalid, worded for the user, when it does not fit."""
        if self._fast.is_valid(document):
            return
        for error in self._slow.iter_errors(document):
            raise self._refusal(error)

    def _refusal(self, error: jsonschema.ValidationError) -> Invalid:
        if isinstance(error.cause, _NameRefused):
            return BodyInvalid(str(error.cause))
        path = list(error.path)
        if not path:
            return (QueryInvalid if self._is_query else BodyInvalid)(error.message)
        if self._is_query:
            return QueryInvalid(
                f"Invalid input for query parameters {path[0]}. Value: {error.instance}. "
                f"{error.message}"
            )
        return BodyInvalid(
            f"Invalid input for field/attribute {path[-1]}. Value: {error.instance}. "
            f"{error.message}"
        )


# --- the fast way -----------------------------------------------------------------------------


def _with_numeric_texts(schema: Any) -> Any:
    """The schema with bounds of numbers put on numeric texts too, as a format of its own."""
    if isinstance(schema, list):
        return [_with_numeric_texts(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _with_numeric_texts(value) for key, value in schema.items()}
    kinds = schema.get("type")
    has_bounds = "minimum" in schema or "maximum" in schema
    if has_bounds and isinstance(kinds, list) and "string" in kinds:
        changed["format"] = _bounded_format(schema.get("minimum"), schema.get("maximum"))
    return changed


_TEXT_FORMATS: dict[str, Callable[[str], bool]] = dict(CHECKS)


def _bounded_format(least: int | None, most: int | None) -> str:
    name = f"number-between-{least}-and-{most}"
    if name not in _TEXT_FORMATS:
        _TEXT_FORMATS[name] = lambda text: _is_between(text, least, most)
    return name


def _is_between(text: str, least: int | None, most: int | None) -> bool:
    if len(text) > _MOST_DIGITS:
        return False
    try:
        number = int(text)
    except ValueError:
        return True  # a pattern says what else is wrong with it
    return (least is None or number >= least) and (most is None or number <= most)


# --- the worded way -----------------------------------------------------------------------------


class _NameRefused(Exception):
    """A name's format was not met; its message stands alone."""


def _bound(keyword: str) -> Any:
    """`minimum` or `maximum` that also looks into numeric texts."""

    def check(validator: Any, bound: Any, instance: Any, _schema: Any) -> Any:
        number = instance
        if isinstance(instance, str):
            if len(instance) > _MOST_DIGITS:
                yield jsonschema.ValidationError(f"{instance!r} is too long")
                return
            try:
                number = int(instance)
            except ValueError:
                return
        elif not validator.is_type(instance, "number"):
            return
        if keyword == "minimum" and number < bound:
            yield jsonschema.ValidationError(f"{instance!r} is less than the minimum of {bound!r}")
        if keyword == "maximum" and number > bound:
            yield jsonschema.ValidationError(
                f"{instance!r} is greater than the maximum of {bound!r}"
            )

    return check


_Worded = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"minimum": _bound("minimum"), "maximum": _bound("maximum")},
)
_FORMAT_CHECKER = jsonschema.FormatChecker(formats=())


def _worded_format(name: str, check: Callable[[str], bool]) -> None:
    def conforms(instance: object) -> bool:
        if not isinstance(instance, str):
            return True
        if check(instance):
            return True
        if name in NAME_RULES:
            raise _NameRefused(
                "An invalid 'name' value was provided. The name must be: " + NAME_RULES[name]
            )
        return False

    _FORMAT_CHECKER.checks(name, raises=_NameRefused)(conforms)


for _name, _check in CHECKS.items():
    _worded_format(_name, _check)

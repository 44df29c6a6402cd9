# SPDX-License-Identifier: Apache-2.0
"""What a resource may carry: fields with checks, applied to a client's object.

A check takes the client's value and returns it in the form it is stored in, or raises BadValue
with a sentence that goes on after the field's name.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.ids import is_uuid_like
from services.companion.web.faults import Fault

Check = Callable[[Any], Any]

_ABSENT: Any = object()
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_TRUE, _FALSE = frozenset(("true", "1", "yes", "on")), frozenset(("false", "0", "no", "off"))


class BadValue(ValueError):
    """A value of the wrong type or out of bounds."""


@dataclass(frozen=True)
class Field:
    """One attribute: where it may be given, how it is checked, what it is when not given."""

    name: str
    check: Check
    required: bool = False
    default: Any = _ABSENT
    create: bool = True
    update: bool = True
    admin: bool = False


def on_create(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a new resource, defaults filled in. Raises Fault 400."""
    values = {}
    for field in fields:
        if field.name in given:
            if not field.create:
                raise Fault(400, f"Attribute '{field.name}' not allowed in POST.")
            values[field.name] = _checked(field, given[field.name])
        elif field.required:
            raise Fault(400, f"'{field.name}' is a required property.")
        elif field.default is not _ABSENT:
            values[field.name] = field.default() if callable(field.default) else field.default
    return values


def on_update(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a change sets. Raises Fault 400."""
    values = {}
    for field in fields:
        if field.name in given:
            if not field.update:
                raise Fault(400, f"Cannot update read-only attribute {field.name}.")
            values[field.name] = _checked(field, given[field.name])
    return values


def refuse_unknown(fields: Sequence[Field], given: Mapping[str, Any]) -> None:
    """Raise Fault 400 for an attribute that no field declares."""
    unknown = sorted(set(given) - {field.name for field in fields})
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)[:400]
        raise Fault(400, f"Unrecognized attribute(s) {names}", kind="HTTPBadRequest")


def _checked(field: Field, value: Any) -> Any:
    try:
        return field.check(value)
    except BadValue as wrong:
        raise Fault(400, f"Invalid input for {field.name}: {wrong}") from wrong


# --- checks ----------------------------------------------------------------------------------


def text(most: int = 255, least: int = 0) -> Check:
    """A string of `least` to `most` characters without NUL."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise BadValue(f"{shown(value)} is not a string.")
        if not least <= len(value) <= most:
            raise BadValue(f"the length must be from {least} to {most} characters.")
        if "\0" in value:
            raise BadValue("the NUL character is not allowed.")
        return value

    return check


def flag(value: Any) -> bool:
    """True or false, also as the words that Neutron's clients send."""
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word in _TRUE or value == 1:
        return True
    if word in _FALSE or value == 0:
        return False
    raise BadValue(f"{shown(value)} is not a boolean.")


def strict_flag(value: Any) -> bool:
    """True or false, and nothing that stands for them."""
    if isinstance(value, bool):
        return value
    raise BadValue(f"{shown(value)} is not of type 'boolean'.")


def integer(least: int, most: int) -> Check:
    """A whole number within bounds, also as a string of digits."""

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValue(f"{shown(value)} is not an integer.")
        if not least <= value <= most:
            raise BadValue(f"{shown(value)} must be from {least} to {most}.")
        return value

    return check


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise BadValue(f"{shown(value)} is not one of {', '.join(words)}.")
        return value

    return check


def nullable(inner: Check) -> Check:
    """What `inner` takes, or null."""

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def list_of(inner: Check, most: int = 100) -> Check:
    """A list of at most `most` items; null is an empty one."""

    def check(value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise BadValue(f"{shown(value)} is not a list.")
        if len(value) > most:
            raise BadValue(f"more than {most} items.")
        return [inner(item) for item in value]

    return check


def struct(**members: Check) -> Check:
    """An object with these members only, each optional."""

    def check(value: Any) -> dict[str, Any]:
        unknown = set(mapping(value)) - set(members)
        if unknown:
            raise BadValue(f"unknown: {shown(sorted(unknown))}.")
        return {name: members[name](item) for name, item in value.items()}

    return check


def mapping(value: Any) -> dict[str, Any]:
    """Any object."""
    if not isinstance(value, dict):
        raise BadValue(f"{shown(value)} is not an object.")
    return value


def uuid(value: Any) -> str:
    """A UUID, with or without dashes (project ids have none)."""
    plain = value.replace("-", "") if isinstance(value, str) else value
    if is_uuid_like(value) or (isinstance(plain, str) and re.fullmatch("[0-9a-f]{32}", plain)):
        return str(value)
    raise BadValue(f"{shown(value)} is not a valid UUID.")


def address(value: Any) -> str:
    """An IP address of either version, in its usual form."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError as wrong:
        raise BadValue(f"'{shown(value)}' is not a valid IP address.") from wrong


def cidr(value: Any) -> str:
    """A network in CIDR form; host bits are cleared."""
    try:
        if not isinstance(value, str) or "/" not in value:
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError as wrong:
        raise BadValue(f"'{shown(value)}' is not a valid IP subnet.") from wrong


def prefix(value: Any) -> str:
    """A CIDR or a single address, which is a CIDR of one."""
    return cidr(value) if isinstance(value, str) and "/" in value else cidr(_one(value))


def _one(value: Any) -> str:
    plain = address(value)
    return f"{plain}/{128 if ':' in plain else 32}"


def mac(value: Any) -> str:
    """A unicast MAC address in lower case."""
    low = value.lower().replace("-", ":") if isinstance(value, str) else ""
    if not _MAC.fullmatch(low) or int(low[:2], 16) & 1 or low == "00:00:00:00:00:00":
        raise BadValue(f"'{shown(value)}' is not a valid MAC address.")
    return low


def shown(value: Any) -> str:
    """A client's value as an error message may repeat it: short, printable."""
    words = value if isinstance(value, str) else repr(value)
    return ascii(words[:60])[1:-1]

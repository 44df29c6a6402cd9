# SPDX-License-Identifier: Apache-2.0
"""Parts of requests that several resources take: names, metadata, flags."""

from typing import Any

from services.companion.web.fields import (
    BadValue,
    Check,
    Field,
    flag,
    integer,
    mapping,
    nullable,
    on_create,
    shown,
    text,
)

MOST_METADATA = 128
MOST_GIB = 2**31 - 1

_key, _value = text(255, 1), text(255)


def trimmed(most: int = 255) -> Check:
    """Text without spaces around it, or null."""

    def check(value: Any) -> str | None:
        return None if value is None else str(text(most)(value)).strip()

    return check


NAME = trimmed()
DESCRIPTION = trimmed()


def metadata(value: Any) -> dict[str, str]:
    """Pairs of text."""
    pairs = mapping(value)
    if len(pairs) > MOST_METADATA:
        raise BadValue(f"more than {MOST_METADATA} items.")
    return {_key(key): _value(item) for key, item in pairs.items()}


def image_metadata(value: Any) -> dict[str, str]:
    """Pairs of text; values may be as long as an image's."""
    pairs = mapping(value)
    if len(pairs) > MOST_METADATA:
        raise BadValue(f"more than {MOST_METADATA} items.")
    return {_key(key): text(65535)(item) for key, item in pairs.items()}


def truth(value: Any) -> bool:
    """True or false, also as words and numbers."""
    return bool(flag(value.strip() if isinstance(value, str) else value))


def gib(value: Any) -> int:
    """A size in GiB."""
    try:
        return int(integer(1, MOST_GIB)(value))
    except BadValue as wrong:
        raise BadValue(
            f"{shown(value)} (size argument must be an integer (or string representation of an "
            "integer) and greater than zero)."
        ) from wrong


OPTIONAL_GIB = nullable(gib)


def connector_of(given: dict[str, Any]) -> dict[str, Any]:
    """What a host says of itself. Raises Fault 400."""
    values = on_create((Field("connector", mapping, required=True),), given)
    return dict(values["connector"])

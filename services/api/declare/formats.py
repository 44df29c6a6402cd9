# SPDX-License-Identifier: Apache-2.0
"""Formats of texts that the Compute API knows beyond JSON Schema's own.

A check returns whether the text has the format. The names are those of the contract.
"""

import base64
import binascii
import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from oslo_utils import timeutils

# Formats whose failure has a message of its own instead of the validator's.
NAME_RULES = {
    "name": "printable characters. Can not start or end with whitespace.",
    "az_name": "printable characters except :.Can not start or end with whitespace.",
    "name_with_leading_trailing_spaces": (
        "printable characters with at least one non space character"
    ),
    "az_name_with_leading_trailing_spaces": (
        "printable characters except :, with at least one non space character"
    ),
}
_LAST_CONSIDERED = 0xFFFE


def _is_printable(text: str) -> bool:
    return all(_is_printable_character(character) for character in text)


def _is_printable_character(character: str) -> bool:
    if ord(character) > _LAST_CONSIDERED:
        return False
    category = unicodedata.category(character)
    return category == "Zs" or category[0] not in "CZ"


def _name(text: str) -> bool:
    return bool(text) and text == text.strip() and _is_printable(text)


def _spaced_name(text: str) -> bool:
    return bool(text.strip()) and _is_printable(text)


def _uuid(text: str) -> bool:
    try:
        parsed = str(uuid.UUID(text))
    except ValueError:
        return False
    bare = text.replace("urn:", "").replace("uuid:", "").strip("{}").replace("-", "").lower()
    return parsed.replace("-", "") == bare


def _date_time(text: str) -> bool:
    try:
        # A moment whose UTC form is before the year 1 or after 9999 is none that can be compared.
        timeutils.normalize_time(timeutils.parse_isotime(text))
    except (ValueError, OverflowError):
        return False
    return True


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text.encode(), validate=False)
    except (ValueError, binascii.Error):
        return False
    return True


def _ip(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _cidr(text: str) -> bool:
    if "/" not in text or any(character.isspace() for character in text):
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _regex(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return bool(text)


CHECKS: dict[str, Callable[[str], bool]] = {
    "uuid": _uuid,
    "date-time": _date_time,
    "base64": _base64,
    "cidr": _cidr,
    "ipv4": _ip(4),
    "ipv6": _ip(6),
    "uri": _uri,
    "regex": _regex,
    "name": _name,
    "name_with_leading_trailing_spaces": _spaced_name,
    "az_name": lambda text: ":" not in text and _name(text),
    "az_name_with_leading_trailing_spaces": lambda text: ":" not in text and _spaced_name(text),
    "printable_or_empty": _is_printable,
}

# SPDX-License-Identifier: Apache-2.0
"""DHCP options that a port has of its own (`extra_dhcp_opts`)."""

import re
from typing import Any

from services.companion.web import fields
from services.companion.web.fields import BadValue, integer, nullable, text

_MEMBERS = fields.struct(
    opt_name=text(64, 1), opt_value=nullable(text(255, 1)), ip_version=integer(4, 6)
)
# Both become words of a line that the DHCP server reads: nothing may end it.
_NAME = re.compile(r"[A-Za-z0-9-]+")
_VALUE = re.compile(r"[ -~]*")


def option(value: Any) -> dict[str, Any]:
    """A name or number, a value, and the IP version (4 unless it says 6)."""
    given: dict[str, Any] = _MEMBERS(value)
    if not given.get("opt_name") or "opt_value" not in given:
        raise BadValue("an option has opt_name and opt_value.")
    if not _NAME.fullmatch(given["opt_name"]):
        raise BadValue(f"{fields.shown(given['opt_name'])} is no name of a DHCP option.")
    if not _VALUE.fullmatch(given["opt_value"] or ""):
        raise BadValue("an option's value has printable characters only.")
    if given.get("ip_version", 4) == 5:
        raise BadValue("ip_version is 4 or 6.")
    return {"ip_version": 4, **given}


def merged(known: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A port's options after a change: what is named anew replaces, null takes away."""
    by_name = {(each["opt_name"], each["ip_version"]): each for each in (*known, *given)}
    return [each for each in by_name.values() if each["opt_value"] is not None]

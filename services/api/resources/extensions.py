# SPDX-License-Identifier: Apache-2.0
"""`/extensions`: a list from the time when parts of the API were optional.

The entries are data of the Compute API's published samples (extensions.json beside this file;
copyright OpenStack contributors, Apache-2.0).
"""

import importlib.resources
import json
from typing import Any

from common.errors import NotFound
from services.api.call import ApiCall
from services.api.declare.request import ANY_QUERY
from services.api.declare.types import Plain
from services.api.declare.view import Raw
from services.api.responder import responder

_RULE = "os_compute_api:extensions"
_OBJECT = Raw(Plain({"type": "object"}))


def _load() -> list[dict[str, Any]]:
    text = importlib.resources.files(__package__).joinpath("extensions.json").read_text()
    entries: list[dict[str, Any]] = json.loads(text)["extensions"]
    return entries


class Extensions:
    """`/extensions`."""

    def __init__(self) -> None:
        self._entries = _load()

    @responder(policy=_RULE, query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall) -> dict[str, Any]:
        """List extensions."""
        return {"extensions": self._entries}


class ExtensionByAlias:
    """`/extensions/{alias}`."""

    def __init__(self) -> None:
        self._entries = {entry["alias"]: entry for entry in _load()}

    @responder(policy=_RULE, query=ANY_QUERY, returns=_OBJECT)
    def on_get(self, call: ApiCall, alias: str) -> dict[str, Any]:
        """Show an extension."""
        if alias not in self._entries:
            raise NotFound()
        return {"extension": self._entries[alias]}

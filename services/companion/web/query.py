# SPDX-License-Identifier: Apache-2.0
"""Query strings: repeated keys, pages, fields."""

from typing import Any

import falcon

from services.companion.web.faults import Fault

MOST_PER_PAGE = 1000


def values(req: falcon.Request) -> dict[str, list[str]]:
    """Every parameter with all its values; commas do not separate them."""
    return {
        name: [str(item) for item in value] if isinstance(value, list) else [str(value)]
        for name, value in req.params.items()
    }


def first(req: falcon.Request, name: str) -> str | None:
    """The first value of a parameter."""
    given = values(req).get(name)
    return given[0] if given else None


def limit(req: falcon.Request, default: int | None = None) -> int | None:
    """`limit`, at most MOST_PER_PAGE; `default` when not given or zero. Raises Fault 400."""
    given = first(req, "limit")
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise Fault(400, "limit must be an integer of zero or more.")
    return min(int(given), MOST_PER_PAGE) or default


def only(fields: list[str] | None, item: dict[str, Any]) -> dict[str, Any]:
    """`item` with the named fields alone; all of it when none is named."""
    return {name: item[name] for name in fields if name in item} if fields else item

# SPDX-License-Identifier: Apache-2.0
"""ApiCall: a request after all checks, as responders see it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from common.context import RequestContext
from services.api.declare.request import single


@dataclass(frozen=True)
class Links:
    """URLs of this deployment as the caller knows them.

    `root`: scheme and host, with any prefix; `mount`: `v2.1` or `v2`; `project`: the project id
    when it stood in the request's URL.
    """

    root: str
    mount: str
    project: str | None
    path: str
    query: dict[str, list[str]]

    @functools.cached_property
    def _versioned(self) -> str:
        mounted = f"{self.root}/{self.mount}"
        return f"{mounted}/{self.project}" if self.project else mounted

    @functools.cached_property
    def _unversioned(self) -> str:
        return f"{self.root}/{self.project}" if self.project else self.root

    def self_href(self, collection: str, item: str) -> str:
        """The versioned URL of a thing."""
        return f"{self._versioned}/{collection}/{item}"

    def bookmark_href(self, collection: str, item: str) -> str:
        """The URL of a thing without version."""
        return f"{self._unversioned}/{collection}/{item}"

    def both(self, collection: str, item: str) -> list[dict[str, str]]:
        """The `links` of a thing."""
        return [
            {"rel": "self", "href": self.self_href(collection, item)},
            {"rel": "bookmark", "href": self.bookmark_href(collection, item)},
        ]

    def bookmark(self, collection: str, item: str) -> list[dict[str, str]]:
        """The `links` of a thing that is only mentioned."""
        return [{"rel": "bookmark", "href": self.bookmark_href(collection, item)}]

    def next_page(self, marker: str) -> str:
        """This request again, from `marker` on: its parameters in sorted order."""
        query = {**self.query, "marker": [marker]}
        pairs = [(key, value) for key in sorted(query) for value in query[key]]
        return f"{self._versioned}{self.path}?{urlencode(pairs)}"


@dataclass
class ApiCall:
    """A request: who, at which microversion, with what.

    `body` is what the declared body holds below its key, `document` all of it, `query` the declared
    keys of the query string. `allows` asks policy about the caller's own project.
    """

    caller: RequestContext
    version: int
    links: Links
    max_limit: int
    policy: Callable[..., bool]
    body: Any = None
    document: Any = None
    query: dict[str, list[str]] = field(default_factory=dict)
    token: str = ""
    location: str | None = None
    status: int | None = None

    @functools.cached_property
    def _verdicts(self) -> dict[str, bool]:
        return {}

    def allows(self, rule: str) -> bool:
        """Whether the caller may do what `rule` guards, to what is its own."""
        if rule not in self._verdicts:
            self._verdicts[rule] = self.policy(self.caller, rule)
        return self._verdicts[rule]

    def at_least(self, number: int) -> bool:
        """Whether the microversion is 2.`number` or newer."""
        return self.version >= number

    def single(self, key: str) -> str | None:
        """The last value of a query key."""
        return single(self.query, key)

    def page_limit(self) -> int:
        """How many items a page has: the query's `limit`, at most the deployment's."""
        asked = self.single("limit")
        return min(int(asked), self.max_limit) if asked else self.max_limit

    def offset_page(self) -> tuple[int, int]:
        """Where a page begins and how long it is, in lists that know `offset` and no marker.

        A `limit` of 0 is none.
        """
        return int(self.single("offset") or 0), self.page_limit() or self.max_limit

# SPDX-License-Identifier: Apache-2.0
"""Which pages may open consoles: a browser sends a user's cookies along for any page."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from services.console.refusals import Refused


@dataclass(frozen=True)
class Origins:
    """`allowed`: host names of other sites whose pages may; `https_only`: none without TLS."""

    allowed: Collection[str]
    https_only: bool

    def check(self, origin: str | None, host: str) -> None:
        """Whether a page of `origin` may open a console at `host`, both as the browser sent them.

        What sends no origin is no browser. Raises: Refused.
        """
        if origin is None:
            return
        page = _split(origin)
        if page is None or not page.scheme or not page.hostname:
            raise Refused(403, "The page that opened this console does not say where it is from.")
        known = {name.lower() for name in self.allowed}
        asked = _split(f"//{host}")
        if asked is not None and asked.hostname:
            known.add(asked.hostname)
        if page.hostname not in known:
            raise Refused(403, "Pages of that site may not open consoles here.")
        if self.https_only and page.scheme != "https":
            raise Refused(403, "Pages without TLS may not open consoles here.")


def _split(url: str) -> SplitResult | None:
    try:
        found = urlsplit(url)
        return found if found.hostname is not None else None
    except ValueError:
        return None

# SPDX-License-Identifier: Apache-2.0
"""What a client asks for: a page or a console, and with which token."""

import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request

# What `common.ids.new_token` makes. Anything else opens nothing, which needs no asking.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class Asked:
    """One request, taken apart.

    `path` is decoded and without its query. `token` empty: there is none. `is_upgrade`: to a
    WebSocket. `wants_html`: somebody looks at the answer. `origin` None: no browser asks.
    """

    method: str
    path: str
    token: str
    is_upgrade: bool
    wants_html: bool
    origin: str | None
    host: str

    @property
    def has_plausible_token(self) -> bool:
        """Whether the token may be one of ours."""
        return _TOKEN.fullmatch(self.token) is not None


def take_apart(request: Request) -> Asked:
    """What the request asks for; whatever a client may have sent."""
    headers = request.headers
    try:
        address = urlsplit(request.path)
    except ValueError:  # brackets where a host could be
        address = urlsplit("/")
    return Asked(
        method=request.method,
        path=unquote(address.path, errors="replace"),
        token=_in_query(address.query) or _in_cookie(headers),
        is_upgrade="websocket" in _every(headers, "Upgrade").lower(),
        wants_html="text/html" in _every(headers, "Accept").lower(),
        origin=_every(headers, "Origin") if "Origin" in headers else None,
        host=_every(headers, "Host"),
    )


def _in_query(query: str) -> str:
    """`token=…`, or noVNC's `path=…?token=…`."""
    found = _parsed(query)
    if "token" in found:
        return found["token"][-1]
    path = found.get("path", [""])[-1]
    return _parsed(path.rpartition("?")[2]).get("token", [""])[-1]


def _parsed(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, max_num_fields=32)
    except ValueError:
        return {}


def _in_cookie(headers: Headers) -> str:
    """What old pages of noVNC do with the token that they were opened with."""
    try:
        cookies = SimpleCookie(_every(headers, "Cookie"))
    except CookieError:
        return ""
    return cookies["token"].value if "token" in cookies else ""


def _every(headers: Headers, name: str) -> str:
    return ", ".join(headers.get_all(name))

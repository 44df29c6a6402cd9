# SPDX-License-Identifier: Apache-2.0
"""Requests so plain that they need no HTTP server to be understood: most of what guests ask.

A plain request is a GET that came in one piece, whole and by the book, with no body, no query and
no wish about the connection but to keep or close it. Whatever is not is left to gunicorn, which
knows how to refuse it: here nothing is ever refused, nor read in a way that gunicorn would not.
"""

import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 4096
# A path without escapes, a query or parameters; header names without underscores, which gunicorn
# drops, since in WSGI they would pass for dashes.
_REQUEST = re.compile(
    rb"GET (/[A-Za-z0-9/._~-]*) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n){0,50})\r\n"
)
_NOT_PLAIN = frozenset(
    ("CONTENT-LENGTH", "EXPECT", "HTTP2-SETTINGS", "TRAILER", "TRANSFER-ENCODING", "UPGRADE")
)


@dataclass(frozen=True, slots=True)
class PlainGet:
    """The request: names of `headers` are upper-case. `length` is that of its bytes.

    `is_last`: the client wants its connection closed behind the answer.
    """

    path: str
    headers: dict[str, str]
    length: int
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A body, always with status 200: whoever is not answered so is answered by the application."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Later:
    """A reply that can be made once `known` is done; None if there is none after all."""

    known: Future[Any]
    make: Callable[[], Reply | None]


# Asked with the client's address; must not wait. None: the application answers, in a thread.
AtOnce = Callable[[str, PlainGet], Reply | Later | None]


def read(received: bytes) -> PlainGet | None:
    """The plain request that `received` begins with; None when it is something else."""
    found = _REQUEST.match(received)
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in found[2].decode("ascii").splitlines():
        name, _, value = line.partition(":")
        name = name.upper()
        if name in headers or name in _NOT_PLAIN:
            return None
        headers[name] = value.strip(" ")
    connection = headers.get("CONNECTION", "keep-alive").lower()
    if connection not in ("keep-alive", "close"):
        return None
    return PlainGet(found[1].decode("ascii"), headers, found.end(), connection == "close")

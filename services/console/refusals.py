# SPDX-License-Identifier: Apache-2.0
"""Turning clients away, with the reason: as a page, as a line, or in the status of an upgrade."""

from html import escape
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

from services.console.asked import Asked

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; margin: 4rem auto; max-width: 36rem; }}</style>
</head><body><h1>{title}</h1><p>{reason}</p></body></html>
"""
_TITLE = "This console cannot be opened"
# A page's address holds a token: it is kept nowhere, and told to nobody.
DISCREET = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A client does not get what it asks for; the text is for its user."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def answer_of(refused: Refused, asked: Asked) -> Response:
    """The answer to a refused request.

    Who asked for a WebSocket reads the reason in the status line: browsers show no script a body.
    """
    reason = str(refused)
    if asked.is_upgrade:
        return response(refused.status, b"", "text/plain", phrase=reason)
    if asked.wants_html:
        page = _PAGE.format(title=_TITLE, reason=escape(reason))
        return response(refused.status, page.encode(), "text/html")
    return response(refused.status, f"{reason}\n".encode(), "text/plain")


def response(
    status: int, body: bytes, content_type: str, *, phrase: str = "", cache: str = ""
) -> Response:
    """An answer that ends the connection. `cache`: for how long it may be kept."""
    headers = Headers(DISCREET | ({"Cache-Control": cache} if cache else {}))
    headers["Connection"] = "close"
    headers["Content-Length"] = str(len(body))
    is_text = content_type.startswith("text/") and "charset" not in content_type
    headers["Content-Type"] = f"{content_type}; charset=utf-8" if is_text else content_type
    return Response(status, phrase or HTTPStatus(status).phrase, headers, body)

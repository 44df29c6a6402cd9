# SPDX-License-Identifier: Apache-2.0
"""Requests to the console daemon, whatever a client sends; and what is said to it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from services.console.asked import take_apart
from services.console.origins import Origins
from services.console.refusals import Refused, answer_of

TOKEN = "a-_9" * 10 + "xyz"


def ask(path, **headers):
    return take_apart(Request(path, Headers(headers)))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/?token={TOKEN}", {}),
        (f"/websockify?a=b&token={TOKEN}", {}),
        (f"/vnc_lite.html?path=%3Ftoken%3D{TOKEN}", {}),
        (f"/?path=websockify%3Ftoken%3D{TOKEN}%26a%3Db", {}),
        ("/websockify", {"Cookie": f"token={TOKEN}"}),
        ("/websockify", {"Cookie": f'other="x"; token={TOKEN}; path=/'}),
        (f"/?token=other&token={TOKEN}", {}),
    ],
)
def test_a_token_is_found_where_clients_put_it(path, headers):
    found = ask(path, **headers)

    assert found.token == TOKEN
    assert found.has_plausible_token


@pytest.mark.parametrize(
    "path", ["/", "/?token=", "/?path=websockify", "/?Token=x", "/?path=", "/?" + "a=b&" * 100]
)
def test_where_no_token_is_none_is_found(path):
    assert ask(path).token == ""


@pytest.mark.parametrize(
    "token", ["x" * 42, "x" * 44, "%C3%A9" * 43, "x" * 43 + "%0A", "x" * 42 + "=", "%00" * 43]
)
def test_what_cannot_be_a_token_of_ours_is_seen_at_once(token):
    assert not ask(f"/?token={token}").has_plausible_token


# What websockets lets through: ASCII in the path, and no control characters in headers.
_PATHS = st.text(st.characters(max_codepoint=126))
_HEADERS = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


@given(path=_PATHS, header=_HEADERS, cookie=_HEADERS)
def test_nothing_that_a_client_sends_is_an_error(path, header, cookie):
    found = take_apart(
        Request(path, Headers({"Upgrade": header, "Cookie": cookie, "Host": header}))
    )

    with contextlib.suppress(Refused):
        Origins((), https_only=False).check(header, found.host)
    assert answer_of(Refused(403, header), found).serialize()


def test_a_page_with_tls_is_asked_for_where_the_console_has_it():
    secure = Origins((), https_only=True)

    secure.check("https://c.example", "c.example:6080")
    secure.check(None, "c.example:6080")
    with pytest.raises(Refused, match="without TLS"):
        secure.check("http://c.example", "c.example:6080")


@pytest.mark.parametrize(
    ("origin", "host"),
    [("http://[::1]:80", "[::1]:6080"), ("http://C.example", "c.EXAMPLE"), ("http://c", "c:1")],
)
def test_a_page_of_the_same_host_may_whatever_its_port(origin, host):
    Origins((), https_only=False).check(origin, host)


def test_a_reason_is_text_never_markup():
    asked = ask("/", Accept="text/html")

    page = answer_of(Refused(403, "<script>&"), asked)

    assert b"<script>" not in page.body
    assert b"&lt;script&gt;&amp;" in page.body


def test_a_websocket_reads_the_reason_in_the_status_line():
    answer = answer_of(Refused(403, "No."), ask("/", Upgrade="websocket", Accept="text/html"))

    assert answer.serialize().startswith(b"HTTP/1.1 403 No.\r\n")
    assert answer.body == b""

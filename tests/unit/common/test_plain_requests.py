# SPDX-License-Identifier: Apache-2.0
"""What is taken for a plain request is read as gunicorn reads it; all else is left to gunicorn."""

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from common import plain_requests

HEAD = b"GET /openstack/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n"


def test_a_request_is_read_with_its_headers():
    request = plain_requests.read(
        HEAD + b"X-Instance-ID:  one two \r\nConnection: Keep-Alive\r\n\r\n"
    )

    assert request.path == "/openstack/latest"
    assert request.headers == {
        "HOST": "169.254.169.254", "X-INSTANCE-ID": "one two", "CONNECTION": "Keep-Alive",
    }  # fmt: skip


def test_of_requests_that_came_together_only_the_first_is_read():
    assert plain_requests.read(2 * (HEAD + b"\r\n")).length == len(HEAD + b"\r\n")


@pytest.mark.parametrize(
    "received",
    [
        b"",
        HEAD,
        HEAD + b"X-Half: of a li",
        (HEAD + b"\r\n").replace(b"\r\n", b"\n"),
        HEAD.replace(b"GET", b"POST") + b"\r\n",
        HEAD.replace(b"GET", b"HEAD") + b"\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"/openstack", b"http://x/openstack") + b"\r\n",
        HEAD.replace(b"latest", b"l%61test") + b"\r\n",
        HEAD.replace(b"latest", b"latest?a=b") + b"\r\n",
        HEAD.replace(b"latest", b"latest#a") + b"\r\n",
        HEAD.replace(b"/openstack/latest", b"/a b") + b"\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"Upgrade: h2c\r\n\r\n",
        HEAD + b"Connection: close, Upgrade\r\n\r\n",
        HEAD + b"host: another\r\n\r\n",
        HEAD + b"X_Instance_ID: a\r\n\r\n",
        HEAD + b"X-A : b\r\n\r\n",
        HEAD + b"X-A: b\r\n folded\r\n\r\n",
        HEAD + b"X-A: \xff\r\n\r\n",
        HEAD + b"X-A: a\rb\r\n\r\n",
        HEAD + b"X-A: a\0b\r\n\r\n",
        HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(60)) + b"\r\n",
    ],
)
def test_what_is_not_plain_is_left_alone(received):
    assert plain_requests.read(received) is None


_some = st.sampled_from
_lines = st.builds(
    lambda name, sep, value, end: name + sep + value + end,
    _some([b"Host", b"X-Instance-ID", b"x-instance-id", b"X_A", b"Connection", b"", b" ", b"A B"])
    | st.binary(max_size=4),
    _some([b":", b": ", b":\t", b" : ", b""]),
    _some([b"", b"a", b"keep-alive", b"close", b"a, b", b" a ", b"a\tb"]) | st.binary(max_size=6),
    _some([b"\r\n", b"\n", b"\r\n ", b"\r"]),
)
_nearly_plain = st.builds(
    lambda method, path, version, lines, rest: (
        method + b" " + path + b" " + version + b"\r\n" + b"".join(lines) + b"\r\n" + rest
    ),
    _some([b"GET", b"POST", b"get"]),
    _some([b"/", b"/a/b.json", b"//a//", b"/a/../b", b"/%2f", b"/a;b", b"*", b"a"]),
    _some([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.10"]),
    st.lists(_lines, max_size=3),
    _some([b"", b"GET / HTTP/1.1\r\n\r\n", b"x"]),
)


@given(_nearly_plain)
def test_gunicorn_reads_the_same(received):
    request = plain_requests.read(received)
    if request is None:
        return

    theirs = next(RequestParser(Config(), iter([received]), ("127.0.0.1", 1)))

    assert (theirs.method, theirs.path, theirs.query) == ("GET", request.path, "")
    assert dict(theirs.headers) == request.headers
    assert len(theirs.headers) == len(request.headers)
    assert theirs.body.read() == b""
    assert theirs.should_close() == request.is_last
    assert theirs.unreader.take_buffered() == received[request.length :]

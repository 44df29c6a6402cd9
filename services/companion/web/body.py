# SPDX-License-Identifier: Apache-2.0
"""Reading and writing JSON. Whatever a client sends, what comes out is an object or a Fault."""

from typing import Any

import falcon
import msgspec

from services.companion.web.faults import Fault

MAX_BYTES = 1 << 20

_encoder = msgspec.json.Encoder()


def read_json(req: falcon.Request, *, max_bytes: int = MAX_BYTES) -> Any:
    """The request's body as JSON values. Raises Fault 400 or 413."""
    if (req.content_length or 0) > max_bytes:
        raise Fault(413, f"The request body is larger than {max_bytes} bytes.")
    raw = read_stream(req).read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise Fault(413, f"The request body is larger than {max_bytes} bytes.")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Fault(400, f"The request body is not valid JSON: {wrong}") from wrong


def read_stream(req: falcon.Request) -> Any:
    """The body as a stream that ends where the body does, chunked or not."""
    if req.content_length is None and "chunked" in (req.get_header("Transfer-Encoding") or ""):
        return req.stream  # the server takes the chunks apart and knows their end
    return req.bounded_stream


def read_object(req: falcon.Request, key: str) -> dict[str, Any]:
    """The object under `key` of the body. Raises Fault 400 or 413."""
    body = read_json(req)
    if not isinstance(body, dict) or not isinstance(body.get(key), dict):
        raise Fault(400, f"The request body must be an object with an object '{key}'.")
    return body[key]  # type: ignore[no-any-return]


def answer(resp: falcon.Response, body: Any, status: int = 200) -> None:
    """Answer with `body` as JSON."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = _encoder.encode(body)

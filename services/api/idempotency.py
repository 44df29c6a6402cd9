# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: a POST with such a header is done once, however often it is sent.

The first request takes its key in the conductor; its answer is kept for a day and given again to
requests that are the same. What was refused (4xx) gives its key back, since nothing was done. A
request that failed (5xx) may have been done or not: its key stays taken, so that it is not done
twice. Requests without the header pay nothing.

Answers can hold passwords and private keys. They are sealed with a key made from the client's, of
which the conductor knows only a digest.
"""

import base64
import hashlib
import logging
import os
import re
import time
from dataclasses import dataclass
from typing import Any

import falcon
import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.context import RequestContext
from common.errors import Conflict, Invalid, Unavailable
from common.objects.kept_request import KeptRequest
from common.rpc.conductor.idempotency import Idempotency

LOG = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("Content-Type", "Location")
_WAIT_S = 10.0
_LOOK_EVERY_S = 0.1
_NONCE_BYTES = 12


class OtherRequest(Conflict):
    """The key belongs to a request that is not this one."""

    message = f"This {HEADER} was used for another request: use a new one."


class OutcomeUnknown(Conflict):
    """The request that took the key has no answer (yet)."""

    message = (
        f"The first request with this {HEADER} is still under way, or it failed and its outcome is "
        "not known: see what is there before you send it with a new key."
    )


class _Answer(msgspec.Struct):
    status: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class _Key:
    """A client's key: what it is called in the conductor, and what answers are sealed with."""

    name: str
    fingerprint: str
    secret: bytes

    @classmethod
    def of(cls, key: str, caller: RequestContext, request: bytes) -> "_Key":
        whose = f"{caller.project_id}\0{caller.user_id}\0{key}".encode()
        return cls(
            name=hashlib.sha256(b"name\0" + whose).hexdigest(),
            fingerprint=hashlib.sha256(request).hexdigest(),
            secret=hashlib.sha256(b"seal\0" + whose).digest(),
        )

    def seal(self, answer: _Answer) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.secret).encrypt(
            nonce, msgspec.msgpack.encode(answer), self.fingerprint.encode()
        )
        return base64.b64encode(nonce + sealed).decode()

    def unseal(self, text: str) -> _Answer:
        raw = base64.b64decode(text)
        plain = AESGCM(self.secret).decrypt(
            raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self.fingerprint.encode()
        )
        return msgspec.msgpack.decode(plain, type=_Answer)


class DoneOnce:
    """Falcon middleware, behind the one that prepares every request."""

    def __init__(self, keys: Idempotency) -> None:
        self._keys = keys

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, params: dict[str, Any]
    ) -> None:
        """Take the key, or answer as the first request was. Raises: Invalid, Conflict."""
        if req.method != "POST" or "call" not in req.context:
            return
        text = req.get_header(HEADER)
        if text is None:
            return
        if not _FORM.fullmatch(text):
            raise Invalid(f"{HEADER} must be 1 to 255 printable ASCII characters without spaces.")
        key = _Key.of(text, req.context.call.caller, _said(req))
        kept = self._take(req.context.call.caller, key)
        if kept is None:
            req.context.idempotency_key = key
            return
        answer = key.unseal(kept)
        resp.status = answer.status
        resp.data = answer.body
        for name, value in answer.headers.items():
            resp.set_header(name, value)
        resp.set_header(REPLAYED, "true")
        resp.complete = True

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Keep the answer, or give the key back."""
        key: _Key | None = req.context.get("idempotency_key")
        if key is None:
            return
        caller = req.context.call.caller
        status = resp.status_code
        try:
            if status < 300:
                self._keys.finish(caller, key.name, answer=key.seal(_answer_of(resp)))
            elif status < 500 or status == 501:
                self._keys.forget(caller, key.name)
        except Unavailable as away:
            LOG.warning("The answer to %s %s is not kept: %s", req.method, req.path, away)

    def _take(self, caller: RequestContext, key: _Key) -> str | None:
        """The sealed answer of the request that has the key; None when it is ours now."""
        give_up_at = time.monotonic() + _WAIT_S
        while True:
            kept: KeptRequest | None = self._keys.begin(
                caller, key.name, fingerprint=key.fingerprint
            )
            if kept is None:
                return None
            if kept.fingerprint != key.fingerprint:
                raise OtherRequest()
            if kept.answer is not None:
                return kept.answer
            if time.monotonic() >= give_up_at:
                raise OutcomeUnknown()
            time.sleep(_LOOK_EVERY_S)


def _said(req: falcon.Request) -> bytes:
    """All that makes a request what it is."""
    body: bytes = req.context.read_body()
    req.context.read_body = lambda: body
    words = (req.context.asked_path, req.query_string, str(req.context.version))
    return b"\0".join([*(word.encode() for word in words), body])


def _answer_of(resp: falcon.Response) -> _Answer:
    headers = {name: value for name in _KEPT_HEADERS if (value := resp.get_header(name))}
    return _Answer(status=str(resp.status), headers=headers, body=resp.render_body() or b"")

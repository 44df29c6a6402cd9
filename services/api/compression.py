# SPDX-License-Identifier: Apache-2.0
"""gzip for answers that are worth it, to clients that understand it."""

import zlib

import falcon
from isal import isal_zlib

# Below this size compressing costs more time than the bytes that it saves.
_WORTH_IT_BYTES = 4096
_FAST = 1
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


def compress(req: falcon.Request, resp: falcon.Response) -> None:
    """Compress the answer's body where the client takes gzip."""
    body = resp.data
    if body is None or len(body) < _WORTH_IT_BYTES or not _takes_gzip(req):
        return
    resp.data = isal_zlib.compress(body, _FAST, _GZIP_FORMAT)
    resp.set_header("Content-Encoding", "gzip")
    resp.append_header("Vary", "Accept-Encoding")


def _takes_gzip(req: falcon.Request) -> bool:
    for each in (req.get_header("Accept-Encoding") or "").lower().split(","):
        coding, _, quality = each.partition(";")
        if coding.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False

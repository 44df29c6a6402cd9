# SPDX-License-Identifier: Apache-2.0
"""Passwords and secrets: hashed with bcrypt, compared in constant time."""

import base64
import hashlib

import bcrypt


class Hasher:
    """Hashes and checks passwords. `cost` is bcrypt's: each step doubles the time (9: ~30 ms).

    bcrypt lets other threads run while it works. Call it outside of transactions.
    """

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._nobody = self.hash("")

    def hash(self, password: str) -> str:
        """A new salted hash."""
        return bcrypt.hashpw(_shortened(password), bcrypt.gensalt(self._cost)).decode()

    def matches(self, password: str, known: str | None) -> bool:
        """Whether `password` is the one hashed. `known` None takes as long, and is False."""
        same = bcrypt.checkpw(_shortened(password), (known or self._nobody).encode())
        return same and known is not None


def _shortened(password: str) -> bytes:
    # bcrypt reads 72 bytes and stops at NUL: a digest lets every character of a long one count.
    return base64.b64encode(hashlib.sha384(password.encode()).digest())

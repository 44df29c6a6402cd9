# SPDX-License-Identifier: Apache-2.0
"""KeptRequest: a request that was made under an Idempotency-Key, and how it was answered."""

from common.objects.versioned import Versioned


class KeptRequest(Versioned, frozen=True, kw_only=True):
    """`fingerprint` tells requests apart; `answer` is sealed, and None until there is one."""

    fingerprint: str
    answer: str | None = None

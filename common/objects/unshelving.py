# SPDX-License-Identifier: Apache-2.0
"""Unshelving: where an instance shall come back to."""

from common.objects.versioned import Versioned


class Unshelving(Versioned, frozen=True, kw_only=True):
    """With `changes_zone` the instance is pinned to `zone` from now on (None: to none any more).

    `host` is the one to come back to; None leaves it to the scheduler.
    """

    changes_zone: bool = False
    zone: str | None = None
    host: str | None = None

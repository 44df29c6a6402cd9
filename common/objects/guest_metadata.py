# SPDX-License-Identifier: Apache-2.0
"""GuestMetadata: what the metadata service tells a guest about itself."""

from common.objects.instance import Instance
from common.objects.versioned import Versioned


class GuestMetadata(Versioned, frozen=True, kw_only=True):
    """The instance, and the password that its guest posted (None when none was)."""

    instance: Instance
    password: str | None = None

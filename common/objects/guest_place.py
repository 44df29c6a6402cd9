# SPDX-License-Identifier: Apache-2.0
"""Where on its host a guest is."""

from common.objects.versioned import Versioned


class GuestPlace(Versioned, frozen=True, kw_only=True):
    """`pins`: CPUs of the host by those of the guest; `nodes`: NUMA nodes of the host by those of
    the guest. What is not bound to any is missing.
    """

    pins: dict[int, int] = {}
    nodes: dict[int, int] = {}

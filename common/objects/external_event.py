# SPDX-License-Identifier: Apache-2.0
"""ExternalEvent: what another service says has happened to a port or volume of an instance."""

from common.objects.versioned import Versioned


class ExternalEvent(Versioned, frozen=True, kw_only=True):
    """`tag` says to what it happened: a port, a volume, a power state; None: to nothing special."""

    name: str
    server_uuid: str
    status: str = "completed"
    tag: str | None = None

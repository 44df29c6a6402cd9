# SPDX-License-Identifier: Apache-2.0
"""Service: a daemon of this deployment, and whether it takes work."""

from datetime import datetime

from common.objects.versioned import Versioned


class Service(Versioned, frozen=True, kw_only=True):
    """A daemon on a host. `binary` is the name that clients know, such as `nova-compute`.

    `last_seen_at` is its last heartbeat; `is_up` says that it came in time and that nobody forced
    the service down.
    """

    id: int
    uuid: str
    host: str
    binary: str
    rpc_server: str = ""
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    is_up: bool = False
    last_seen_at: datetime | None = None
    availability_zone: str | None = None
    release: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None

# SPDX-License-Identifier: Apache-2.0
"""Who asks, in which request: travels with every message and stands in every log line.

A user's token is never part of it: tokens do not leave the API process (docs/decisions/0003).
"""

import msgspec

from common.ids import new_request_id


class RequestContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The caller and the request on whose behalf something happens."""

    request_id: str
    global_request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    user_name: str | None = None
    project_name: str | None = None
    user_domain_id: str | None = None
    project_domain_id: str | None = None
    roles: tuple[str, ...] = ()
    is_admin: bool = False


def service_context() -> RequestContext:
    """For what a daemon does on its own account (heartbeats, sweeps)."""
    return RequestContext(request_id=new_request_id(), is_admin=True)

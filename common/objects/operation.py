# SPDX-License-Identifier: Apache-2.0
"""Operation: one thing that a host does for a task, under an id."""

from typing import Any

from common.context import RequestContext
from common.errors import WireError
from common.objects.versioned import Versioned


class Operation(Versioned, frozen=True, kw_only=True):
    """What a host shall do: `method` of the Compute interface with an encoded `payload`.

    Sending it again under the same id changes nothing: the host answers with what it has.
    `rpc_server` is the queue on which the host's daemon listens. `again`: the report that it failed
    has arrived, and it is to be tried once more.
    """

    id: str
    host: str
    rpc_server: str
    instance_uuid: str
    method: str
    payload: str
    context: RequestContext
    again: bool = False


class OperationReport(Versioned, frozen=True, kw_only=True):
    """How an operation ended: plain data in `result`, or `error` when it failed for good."""

    operation_id: str
    host: str
    result: dict[str, Any] = {}
    error: WireError | None = None
    took_ms: int = 0

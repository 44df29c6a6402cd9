# SPDX-License-Identifier: Apache-2.0
"""Operation: one thing that a host does for a task, under an id."""

from typing import Any

from common.errors import WireError
from common.objects.versioned import Versioned


class Operation(Versioned, frozen=True, kw_only=True):
    """What a host shall do: `method` of the Compute interface, to `instance_uuid`.

    Casting it again under the same id changes nothing: the host answers with what it already has.
    `params` are the method's own arguments as plain values.
    """

    id: str
    task_uuid: str
    step: str
    host: str
    instance_uuid: str
    method: str
    params: dict[str, Any] = {}


class OperationReport(Versioned, frozen=True, kw_only=True):
    """How an operation ended. `result` is plain data, `error` is set when it failed for good."""

    operation_id: str
    host: str
    result: dict[str, Any] = {}
    error: WireError | None = None
    took_ms: int = 0

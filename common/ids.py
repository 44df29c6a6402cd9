# SPDX-License-Identifier: Apache-2.0
"""Typed identifiers, and where new ones come from.

Every id is a string on the wire; the types keep one kind from being passed for another.
"""

import secrets
import uuid
from collections.abc import Callable
from typing import NewType

InstanceUuid = NewType("InstanceUuid", str)
TaskUuid = NewType("TaskUuid", str)
OperationId = NewType("OperationId", str)
HostUuid = NewType("HostUuid", str)
ServiceUuid = NewType("ServiceUuid", str)
HostName = NewType("HostName", str)
ProjectId = NewType("ProjectId", str)
UserId = NewType("UserId", str)
RequestId = NewType("RequestId", str)
PortId = NewType("PortId", str)
NetworkId = NewType("NetworkId", str)
ImageId = NewType("ImageId", str)

NewUuid = Callable[[], str]
NewToken = Callable[[], str]


def new_uuid() -> str:
    """A random UUID in its 36-character form."""
    return str(uuid.uuid4())


def new_token() -> str:
    """256 random bits, as 43 characters that a URL takes as they are."""
    return secrets.token_urlsafe(32)


def new_request_id() -> RequestId:
    """`req-<uuid>`, the form OpenStack services give a request."""
    return RequestId(f"req-{uuid.uuid4()}")


def new_reservation_id() -> str:
    """`r-` and eight base-36 characters, the form EC2 and Nova use."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "r-" + "".join(secrets.choice(alphabet) for _ in range(8))


def is_uuid_like(value: object) -> bool:
    """Whether `value` is a UUID with dashes, in either case."""
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False

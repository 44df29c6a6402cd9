# SPDX-License-Identifier: Apache-2.0
"""Who is asking: the instance behind a request, by its source address or by signed headers."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from common.errors import Forbidden, Invalid


@dataclass(frozen=True)
class Asker:
    """A guest, before it is looked up: by `address`, or by `instance` (a UUID) of `project`."""

    address: str | None = None
    instance: str | None = None
    project: str | None = None


class Identifies(Protocol):
    """A way to tell who asks."""

    def asker(self, source_address: str, headers: Mapping[str, str]) -> Asker:
        """The guest. Raises: Invalid, Forbidden. `headers` have upper-case names."""


class BySourceAddress:
    """Direct mode: what headers claim is ignored."""

    def asker(self, source_address: str, headers: Mapping[str, str]) -> Asker:
        """The guest that has the connection's source address."""
        address = ipaddress.ip_address(source_address)
        # A listener of both families shows IPv4 sources as mapped IPv6 addresses.
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return Asker(address=str(mapped or address))


class BySignedHeaders:
    """Proxy mode: the network service's proxy names the instance and signs its name."""

    def __init__(self, shared_secret: str) -> None:
        self._key = shared_secret.encode()

    def asker(self, source_address: str, headers: Mapping[str, str]) -> Asker:
        """The guest that the proxy names, when its signature is right."""
        instance = _required(headers, "X-Instance-ID")
        signature = _required(headers, "X-Instance-ID-Signature")
        project = _required(headers, "X-Tenant-ID")
        expected = hmac.new(self._key, instance.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Forbidden("Invalid proxy request signature.")
        return Asker(instance=instance, project=project)


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.upper())
    if not value:
        raise Invalid(f"{name} header is missing from request.")
    return value

# SPDX-License-Identifier: Apache-2.0
"""Computes: the daemons of hosts, for what is asked of them at once."""

from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from common.errors import HostDown, HostNotFound
from common.objects.service import Service
from common.rpc.compute import Compute
from services.conductor.db import services


class Computes:
    """`client_of` makes the client of a compute daemon from the queue that it listens on."""

    def __init__(self, client_of: Callable[[str], Compute], *, down_after_s: float) -> None:
        self._client_of = client_of
        self._down_after_s = down_after_s

    def on(self, conn: Connection, host: str) -> Compute:
        """The daemon of a host that is up. Raises: HostDown."""
        try:
            service = services.get(
                conn, host=host, binary=services.COMPUTE, down_after_s=self._down_after_s
            )
        except HostNotFound as removed:
            raise HostDown from removed
        if not service.is_up:
            raise HostDown
        return self.of(service)

    def of(self, service: Service) -> Compute:
        """The daemon of a compute service, whether it was heard from or not."""
        return self._client_of(service.rpc_server or service.host)

    def up_among(self, conn: Connection, hosts: Sequence[str]) -> dict[str, Compute]:
        """The daemons of those of `hosts` that are up."""
        queues = services.queues_of(conn, hosts, down_after_s=self._down_after_s)
        return {host: self._client_of(queue) for host, queue in queues.items()}

# SPDX-License-Identifier: Apache-2.0
"""Hosts: services and their heartbeats, compute nodes, aggregates and zones."""

from common.context import RequestContext
from common.objects.aggregate import Aggregate, ZoneView
from common.objects.compute_node import ComputeNode, HostBaseline, HostReport
from common.objects.daemon_status import DaemonHealth
from common.objects.service import Service
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call, cast


class Hosts(Interface, topic=TOPIC, namespace="hosts", version="1.0"):
    """Services and their heartbeats, compute nodes, aggregates and zones.

    1.0  first release
    """

    @call(timeout_s=3)
    def greet(self, ctx: RequestContext) -> None:
        """Do nothing but answer, for who would rather not wait long for nobody."""

    @call(timeout_s=30)
    def report(self, ctx: RequestContext, reports: list[HostReport]) -> None:
        """What compute hosts have; makes their service and compute node on first sight."""

    @call(timeout_s=3)
    def register(
        self, ctx: RequestContext, *, binary: str, host: str, rpc_server: str, release: str
    ) -> None:
        """A daemon other than a compute says that it is there; its heartbeats follow."""

    @cast()
    def heartbeat(self, ctx: RequestContext, binary: str, hosts: list[str]) -> None:
        """These services are alive. Many are folded into one statement."""

    @call(timeout_s=10)
    def baseline(self, ctx: RequestContext) -> HostBaseline:
        """Every compute node, for a scheduler that starts or lost a delta."""

    @call(timeout_s=5)
    def io_ops(self, ctx: RequestContext) -> dict[str, int]:
        """How many operations are under way on each host that has any."""

    @call(timeout_s=30)
    def image_counts(
        self, ctx: RequestContext, properties: list[str]
    ) -> dict[str, dict[str, dict[str, int]]]:
        """By host, image property and value: how many instances have it.

        Of these properties only, or of all when none is named.
        """

    @call()
    def services(
        self, ctx: RequestContext, *, host: str | None = None, binary: str | None = None
    ) -> list[Service]:
        """Services in order of their id (compute, conductor, scheduler: what clients know)."""

    @call()
    def update_service(
        self,
        ctx: RequestContext,
        *,
        uuid: str | None = None,
        host: str | None = None,
        binary: str | None = None,
        disabled: bool | None = None,
        disabled_reason: str | None = None,
        forced_down: bool | None = None,
    ) -> Service:
        """Enable, disable (with a reason), force down or release a service.

        Named by uuid, or by host and binary. What is None stays; enabling clears the reason.
        Raises: ServiceNotFound, HostNotFound.
        """

    @call()
    def delete_service(self, ctx: RequestContext, service: str) -> None:
        """Remove a service (id or uuid) and its compute node.

        Raises: ServiceNotFound, Conflict (instances are on the host).
        """

    @call()
    def compute_nodes(
        self,
        ctx: RequestContext,
        *,
        hostname_pattern: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ComputeNode]:
        """Compute nodes by id; `hostname_pattern` is a substring of the node name.

        Raises: Invalid (unknown marker).
        """

    @call()
    def compute_node(self, ctx: RequestContext, node: str) -> ComputeNode:
        """One compute node by id or uuid. Raises: HostNotFound."""

    @call()
    def instances_on(self, ctx: RequestContext, hosts: list[str]) -> dict[str, list[list[str]]]:
        """For each host the (uuid, name) pairs of its instances."""

    @call()
    def host_uptime(self, ctx: RequestContext, node: str) -> str | None:
        """The uptime text that the host reported last; None when it gives none."""

    @call()
    def zones(self, ctx: RequestContext) -> list[ZoneView]:
        """Availability zones with the services of their hosts; `internal` among them."""

    @call()
    def aggregates(self, ctx: RequestContext) -> list[Aggregate]:
        """Every aggregate."""

    @call()
    def health(self, ctx: RequestContext) -> list[DaemonHealth]:
        """Ask every registered daemon over the bus how it is."""

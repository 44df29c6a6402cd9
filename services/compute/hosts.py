# SPDX-License-Identifier: Apache-2.0
"""The hosts of this daemon: one for a real hypervisor, many for the fake driver."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from common.errors import HostNotFound
from common.ids import NewUuid
from common.objects.compute_node import HostReport
from common.objects.resources import Resources
from services.compute.virt.driver import Driver


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a host the operator gives away: what is kept back, and over-commit ratios.

    `traits`: what the operator says of it, beside what its driver finds.
    """

    reserved: Resources = Resources()
    cpu_ratio: float = 4.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    host_ip: str = "127.0.0.1"
    traits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Host:
    """A host: its name in the deployment, its lasting uuid, its hypervisor."""

    name: str
    uuid: str
    driver: Driver


class Hosts:
    """Hosts by name. `rpc_server` is the queue of this daemon, which serves them all."""

    def __init__(self, hosts: list[Host], *, rpc_server: str, offer: Offer) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._rpc_server = rpc_server
        self._offer = offer

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    @property
    def names(self) -> list[str]:
        """Names of all hosts."""
        return list(self._hosts)

    def driver(self, name: str) -> Driver:
        """A host's hypervisor. Raises: HostNotFound, for a host of another daemon."""
        host = self._hosts.get(name)
        if host is None:
            raise HostNotFound(host=name)
        return host.driver

    def report(self, host: Host) -> HostReport:
        """What the host has now, as the conductor wants to know it. Raises: HypervisorError."""
        found, offer = host.driver.inventory(), self._offer
        return HostReport(
            uuid=host.uuid,
            host=host.name,
            node=found.node,
            rpc_server=self._rpc_server,
            hypervisor_type=found.hypervisor_type,
            hypervisor_version=found.hypervisor_version,
            host_ip=offer.host_ip,
            arch=found.arch,
            supported=found.supported,
            cpu_info=found.cpu_info,
            total=found.total,
            reserved=offer.reserved,
            cpu_ratio=offer.cpu_ratio,
            memory_ratio=offer.memory_ratio,
            disk_ratio=offer.disk_ratio,
            traits=tuple(sorted({*found.traits, *offer.traits})),
            free_disk_gib=found.free_disk_gib,
            running_instances=found.running_instances,
            uptime=found.uptime,
            connector=found.connector,
            dedicated_cpus=found.dedicated_cpus,
        )


def lasting_uuid(path: Path, new_uuid: NewUuid) -> str:
    """The uuid in the file `path`, made on first use: a host keeps it across restarts."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(new_uuid() + "\n")
        fresh.replace(path)
    return path.read_text().strip()

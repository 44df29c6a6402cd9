# SPDX-License-Identifier: Apache-2.0
"""What every flow stands on: the neighbours it calls, its limits, and how it addresses hosts."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.engine import Connection

from common.clients.session import Refused
from common.clock import Clock
from common.context import RequestContext
from common.ids import NewUuid
from common.objects.image import ImageMeta
from common.objects.instance import Fault, Instance
from common.objects.network import RequestedNetwork, VirtualInterface
from common.objects.request_spec import RequestSpec, Selection
from common.objects.volume import Volume, VolumeConnection
from common.rpc.compute import Compute
from services.conductor.db import instances, journal
from services.conductor.db.journal_task import Task
from services.conductor.journal.flow import HostStep

LOG = logging.getLogger(__name__)

_LONGEST_GRACE_S = 3600  # whatever an image says: what waits for the host waits as long

# In `system_metadata` of an instance that asked for no network at all.
NETWORKS_KEY, NO_NETWORKS = "networks", "none"


class Ports(Protocol):
    """What flows want of the network service (common/clients/network.py)."""

    def plug(
        self,
        *,
        instance: str,
        project_id: str,
        host: str,
        zone: str,
        requested: tuple[RequestedNetwork, ...],
        security_groups: tuple[str, ...],
        hostname: str = "",
    ) -> tuple[VirtualInterface, ...]:
        """Make or bind ports, named in DNS as the guest is. Again: the same ports."""

    def unplug(self, instance: str) -> None:
        """Delete what `plug` made. Again: fine."""

    def interfaces(
        self, instance: str, known: Sequence[VirtualInterface] = ()
    ) -> tuple[VirtualInterface, ...]:
        """The ports as they are now."""

    def attach(
        self,
        *,
        instance: str,
        project_id: str,
        host: str,
        zone: str,
        wanted: RequestedNetwork,
        key: str,
        hostname: str = "",
    ) -> VirtualInterface:
        """Make or bind one more port. Again: the same, by `key`."""

    def detach(self, instance: str, *, port_id: str | None = None, key: str = "") -> None:
        """Delete or free one port. Again: fine."""

    def add_fixed_ip(self, instance: str, network_id: str) -> None:
        """One more address. Raises: NetworkNotFound, NoMoreAddresses."""

    def remove_fixed_ip(self, instance: str, address: str) -> None:
        """One address less. Raises: Invalid."""

    def active_ports(self, instance: str) -> Collection[str]:
        """Ids of the ports that need not be waited for. Raises: Unavailable."""

    def group_names(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Names of security groups."""


class Volumes(Protocol):
    """What flows want of the volume service (common/clients/volume.py)."""

    def get(self, volume_id: str) -> Volume:
        """A volume. Raises: VolumeNotFound."""

    def reserve(self, instance: str, volume_ids: Sequence[str]) -> tuple[VolumeConnection, ...]:
        """Keep volumes for an instance on no host. Again: the same."""

    def reserve_anew(
        self, instance: str, volume_ids: Sequence[str]
    ) -> tuple[VolumeConnection, ...]:
        """Keep volumes for an instance that has left its host. Again: fine."""

    def connect(
        self,
        instance: str,
        connector: Mapping[str, Any],
        volumes: Sequence[tuple[str, str]],
        *,
        keep: Collection[str] = (),
    ) -> tuple[VolumeConnection, ...]:
        """Let a host reach volumes. Again: made anew."""

    def complete(self, attachment_ids: Iterable[str]) -> None:
        """The guest has the volumes. Again: it has."""

    def release(self, instance: str, volume_ids: Collection[str]) -> None:
        """Free volumes of the instance. Again: fine."""

    def drop(self, attachment_ids: Iterable[str]) -> None:
        """End attachments. Again: fine."""

    def begin_detaching(self, volume_id: str) -> None:
        """A volume is to be detached. Again: it is."""

    def roll_detaching(self, volume_id: str) -> None:
        """It stays attached. Again: fine."""

    def reimage(self, volume_id: str, image_id: str) -> None:
        """Write an image's data into a volume."""

    def finish_migration(self, old_id: str, new_id: str, *, failed: bool) -> str:
        """One volume is used in place of another; the id that stays."""

    def show_snapshot(self, snapshot_id: str, *, status: str, progress: str) -> None:
        """How an assisted snapshot goes."""

    def delete(self, volume_id: str) -> None:
        """Delete a volume. Again: fine. Raises: InvalidVolume."""


class Shares(Protocol):
    """What flows want of the shared file system service (common/clients/share.py)."""

    def allow(self, share_id: str, host_address: str) -> str:
        """Let a host mount a share. Again: it may. Raises: ShareNotFound, InvalidShare."""

    def deny(self, share_id: str, host_address: str) -> None:
        """Let it do so no longer. Again: fine. Raises: InvalidShare."""


class Hosts(Protocol):
    """What flows want of the scheduler (services/conductor/choosing.py)."""

    def select(self, ctx: RequestContext, spec: RequestSpec) -> Selection:
        """Hosts and alternates for each instance of `spec`. Raises: Unavailable."""


class Images(Protocol):
    """What flows want of the image service (common/clients/image.py)."""

    def get(self, image_id: str) -> ImageMeta:
        """An image. Raises: ImageNotFound, Unavailable."""

    def delete(self, image_id: str) -> None:
        """Delete it. Again: fine."""

    def find(self, **properties: str) -> list[ImageMeta]:
        """Images with these properties, newest first."""


@dataclass(frozen=True)
class Limits:
    """Times and counts that the operator sets; `down_after_s` of silence a host counts as down.

    `plugging_timeout_s` is how long guests are held for their ports (0: they are not); whether a
    boot fails then is `plugging_is_fatal`.
    """

    build_timeout_s: float = 600
    operation_timeout_s: float = 180
    snapshot_timeout_s: float = 3600
    live_migration_timeout_s: float = 3600
    power_off_grace_s: int = 60
    build_attempts: int = 3
    down_after_s: float = 60
    plugging_timeout_s: float = 300
    plugging_is_fatal: bool = True


@dataclass(frozen=True)
class Ground:
    """Neighbours, limits, time and ids. `hosts_changed` tells the schedulers after a commit."""

    scheduler: Hosts
    ports: Ports
    images: Images
    volumes: Volumes
    shares: Shares
    hosts_changed: Callable[[Iterable[str]], None]
    limits: Limits
    clock: Clock
    new_uuid: NewUuid

    def instance(self, conn: Connection, task: Task) -> Instance:
        """The task's instance as it is now, and stays but for what this transaction changes.

        Disks are a list in its row: a request that adds one must not be overwritten.
        """
        return instances.get_even_deleted(
            conn, task.instance_uuid, down_after_s=self.limits.down_after_s
        )

    def grace_s(self, instance: Instance) -> int:
        """Seconds that its guest gets to shut down: its image may say, within reason."""
        wanted = (instance.image.properties if instance.image else {}).get("os_shutdown_timeout")
        if wanted is None or not wanted.strip().isdecimal():
            return self.limits.power_off_grace_s
        return min(int(wanted), _LONGEST_GRACE_S)

    def order(
        self,
        conn: Connection,
        method: str,
        instance: Instance,
        *,
        host: str,
        deadline_s: float,
        owable: bool = False,
        **arguments: Any,
    ) -> HostStep:
        """`method` of the Compute interface for `instance`, addressed to `host`."""
        rpc_server, is_up = journal.address_of(conn, host, down_after_s=self.limits.down_after_s)
        operation_id = self.new_uuid()
        payload = Compute.encode_arguments(
            method, op=operation_id, host=host, instance=instance, **arguments
        )
        return HostStep(operation_id, host, rpc_server, method, payload, deadline_s, owable, is_up)

    def drop_image(self, image_id: str) -> None:
        """Delete an image that nobody needs any more. Again: it is gone.

        One that its owner protects stays: that is no reason to fail. Raises: Unavailable.
        """
        try:
            self.images.delete(image_id)
        except Refused as kept:
            LOG.warning("Image %s stays, though nobody needs it any more: %s", image_id, kept)

    def rest_in_error(self, conn: Connection, task: Task, message: str, **values: Any) -> None:
        """Leave the instance in ERROR with a fault that says `message`."""
        fault = Fault(code=500, message=message, created_at=self.clock.now())
        instances.change(
            conn, task.instance_uuid, vm_state="error", task_state=None, fault=fault, **values
        )


def has_networks(instance: Instance) -> bool:
    """Whether the instance asked for networks, and so may have ports."""
    return instance.system_metadata.get(NETWORKS_KEY) != NO_NETWORKS

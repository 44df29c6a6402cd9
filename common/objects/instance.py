# SPDX-License-Identifier: Apache-2.0
"""Instance: the thing behind a server of the API."""

from datetime import datetime

from common.objects.block_device import BlockDeviceMapping
from common.objects.flavor import Flavor
from common.objects.image import ImageMeta
from common.objects.injected_file import InjectedFile
from common.objects.keypair import Keypair
from common.objects.network import VirtualInterface
from common.objects.scheduler_hints import Hints
from common.objects.share_mapping import ShareMapping
from common.objects.versioned import Versioned
from common.states import PowerState


class Fault(Versioned, frozen=True, kw_only=True):
    """Why an instance is in ERROR; `details` is for administrators."""

    code: int = 500
    message: str
    details: str | None = None
    created_at: datetime | None = None


class Instance(Versioned, frozen=True, kw_only=True):
    """An instance, complete: what lists show, what a host needs to build it.

    `id` is the number that EC2-style ids are made of. `host` is the compute daemon's name, `node`
    the hypervisor's. `hostname` is the guest's. `locked_by` is None, `owner` or `admin`.
    `server_group` is the id of the group that it is a member of, while that is there.
    `admin_password` and `injected_files` are there for the host that builds it, and nowhere kept.
    """

    uuid: str
    id: int = 0
    project_id: str
    user_id: str
    name: str
    hostname: str
    description: str | None = None
    vm_state: str
    task_state: str | None = None
    power_state: int = PowerState.NOSTATE
    flavor: Flavor
    image: ImageMeta | None = None
    kernel_id: str = ""
    ramdisk_id: str = ""
    host: str | None = None
    node: str | None = None
    launched_on: str | None = None
    availability_zone: str | None = None
    pinned_availability_zone: str | None = None
    launch_index: int = 0
    reservation_id: str = ""
    key_name: str | None = None
    keypair: Keypair | None = None
    user_data: str | None = None
    config_drive: bool = False
    admin_password: str | None = None
    injected_files: tuple[InjectedFile, ...] = ()
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    system_metadata: dict[str, str] = {}
    vifs: tuple[VirtualInterface, ...] = ()
    block_devices: tuple[BlockDeviceMapping, ...] = ()
    shares: tuple[ShareMapping, ...] = ()
    security_groups: tuple[str, ...] = ()
    root_device_name: str = "/dev/vda"
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"
    locked_by: str | None = None
    locked_reason: str | None = None
    progress: int = 0
    fault: Fault | None = None
    trusted_certs: tuple[str, ...] | None = None
    created_at: datetime
    updated_at: datetime | None = None
    launched_at: datetime | None = None
    terminated_at: datetime | None = None
    deleted: bool = False
    host_status: str | None = None
    scheduler_hints: Hints = {}
    server_group: str | None = None

    @property
    def is_volume_backed(self) -> bool:
        """Whether the disk that it boots from is a volume."""
        return any(d.boot_index == 0 and d.destination == "volume" for d in self.block_devices)

    @property
    def attached_shares(self) -> tuple[ShareMapping, ...]:
        """The shares that its guest has whenever it is on."""
        return tuple(each for each in self.shares if each.is_given)

# SPDX-License-Identifier: Apache-2.0
"""ContainerGuests: what is different about guests that share the host's kernel."""

import contextlib
import shutil
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from common.errors import NotSupported
from common.objects.guest_metadata import GuestMetadata
from common.objects.instance import Instance
from common.objects.network import VirtualInterface
from services.compute import block_devices, config_drive
from services.compute.images import CachedImage, ImageCache
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt import power
from services.compute.virt.libvirt.connection import Connection, libvirt_speaks
from services.compute.virt.libvirt.disks import ROOT, InstanceFolder, make_ephemeral_disks
from services.compute.virt.libvirt.domain_xml import container
from services.compute.virt.libvirt.domain_xml.container import (
    ContainerSpec,
    FileSystem,
    container_xml,
)
from services.compute.virt.libvirt.domain_xml.spec import Hardware
from services.compute.virt.libvirt.guests import Guests
from services.compute.virt.libvirt.lxc.hardware import choose_container_hardware
from services.compute.virt.libvirt.lxc.root_disk import (
    check_mount_points,
    grow_file_system,
    make_root,
)
from services.compute.virt.libvirt.lxc.short_paths import ShortPaths
from services.compute.virt.libvirt.settings import Settings
from services.compute.volumes import Volumes

_CONFIG_FOLDER = "config"
# Where cloud-init finds a config drive that is no disk.
_CONFIG_TARGET = "/var/lib/cloud/seed/config_drive"
_EPHEMERAL_TARGET = "/mnt/ephemeral{}"
# What inits take for a wish to shut down: systemd's SIGRTMIN+4, and that of most others. libvirt
# counts from the kernel's first real-time signal, and the C library behind two that it keeps.
_SHUT_DOWN = (libvirt.VIR_DOMAIN_PROCESS_SIGNAL_RT6, libvirt.VIR_DOMAIN_PROCESS_SIGNAL_TERM)
_INIT_PROCESS = 1
_LOOP_IS_TAKEN = "to loop device: Device or resource busy"


class ContainerGuests(Guests):
    """Containers: their disks are file systems that the hypervisor mounts in them alone."""

    can_start_paused = False

    def __init__(
        self,
        settings: Settings,
        images: ImageCache,
        volumes: Volumes,
        connection: Connection,
        *,
        short_paths: ShortPaths,
    ) -> None:
        super().__init__(settings, images, volumes, connection)
        self._short_paths = short_paths
        self._turn = threading.Lock()

    def find_virtiofsd(self) -> None:
        """It is for machines."""

    # --- making ---

    def hardware(self, instance: Instance) -> Hardware:
        if block_devices.volumes(instance) or instance.is_volume_backed:
            raise NotSupported("Containers have no volumes: this host runs containers (LXC).")
        block_devices.root_image(instance)
        return choose_container_hardware(instance, self.platform)

    def interface(self, instance: Instance, vif: VirtualInterface) -> ET.Element:
        return container.interface(vif, self.hardware(instance))

    def make_root_disk(self, folder: InstanceFolder, image: CachedImage, size_gib: int) -> None:
        path, takes_room = self.images.path(image), self.settings.preallocate_disks
        make_root(image, path, folder.path / ROOT, size_gib, takes_room=takes_room)

    def make_blank_disks(self, folder: InstanceFolder, instance: Instance) -> None:
        make_ephemeral_disks(folder, instance, takes_room=self.settings.preallocate_disks)

    def grow(self, path: Path, disk_format: str, size_bytes: int) -> None:
        grow_file_system(path, size_bytes)

    def write_config_drive(self, instance: Instance, path: Path) -> None:
        """A folder beside `path`, whole or not at all. Again: anew."""
        target = path.with_name(_CONFIG_FOLDER)
        part = path.with_name(f"{_CONFIG_FOLDER}.part")
        for old in (part, target):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(old)
        part.mkdir(mode=0o700)  # it may hold a password
        files = config_drive.tree(GuestMetadata(instance=instance), self.settings.tree)
        for name, content in files.items():
            file = part / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        part.replace(target)

    def define(self, instance: Instance, hardware: Hardware) -> Any:
        folder = self.folder(instance.uuid)
        if self.wants_config_drive(instance) and not (folder.path / _CONFIG_FOLDER).exists():
            self.write_config_drive(instance, folder.config_drive)  # it has come from another host
        mounts = self._file_systems(instance.uuid, folder)
        check_mount_points(folder.path / ROOT, [mount.target for mount in mounts])
        spec = ContainerSpec(instance, hardware, mounts, instance.vifs)
        with libvirt_speaks(instance.uuid, self.settings.host):
            return self.connection.get().defineXML(container_xml(spec))

    def _file_systems(self, instance_uuid: str, folder: InstanceFolder) -> tuple[FileSystem, ...]:
        """What is there, the root first: what is mounted later is mounted in it."""
        targets = {ROOT: container.ROOT}
        for number, name in enumerate(folder.ephemerals()):
            targets[name] = _EPHEMERAL_TARGET.format(number)
        found = [
            FileSystem(self._short_paths.make(instance_uuid, number, folder.path / name), target)
            for number, (name, target) in enumerate(targets.items())
        ]
        config = folder.path / _CONFIG_FOLDER
        if config.exists():
            found.append(FileSystem(str(config), _CONFIG_TARGET, is_folder=True, read_only=True))
        return tuple(found)

    def remove_files(self, instance: Instance) -> None:
        self._short_paths.remove(instance.uuid)
        super().remove_files(instance)

    # --- power ---

    def turn_on(self, domain: Any, *, paused: bool) -> None:
        """One after another: libvirt looks for a free loop device first, and takes it then.

        Others on the host may have taken it meanwhile; then it is tried again.
        """
        with self._turn:
            for is_last in (False, False, True):
                try:
                    super().turn_on(domain, paused=paused)
                except libvirt.libvirtError as refused:
                    if is_last or _LOOP_IS_TAKEN not in str(refused):
                        raise
                else:
                    return

    def ask_to_shut_down(self, domain: Any, grace_s: float, checkpoint: Checkpoint) -> bool:
        return power.ask_to_shut_down(domain, grace_s, checkpoint, ask=tell_init)

    def undefine(self, domain: Any, *, keep_state: bool = False) -> None:
        self._short_paths.remove(domain.UUIDString())
        try:
            domain.undefine()
        except libvirt.libvirtError as refused:
            if refused.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise


def tell_init(domain: Any) -> None:
    """Tell the container's first process to shut down. Again: once more. Raises: libvirtError.

    By the pipe that some have for this, whose absence libvirt does not tell, and by signals.
    """
    with contextlib.suppress(libvirt.libvirtError):
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_INITCTL)
    try:
        for signal in _SHUT_DOWN:
            domain.sendProcessSignal(_INIT_PROCESS, signal)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise  # neither off already nor too early

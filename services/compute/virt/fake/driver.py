# SPDX-License-Identifier: Apache-2.0
"""A host whose guests are remembered, not run."""

import contextlib
import ipaddress
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import (
    DomainNotFound,
    GuestHasArrived,
    HypervisorError,
    InstanceNotReady,
)
from common.objects.block_device import BlockDeviceMapping
from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.diagnostics import Diagnostics, DiskCounters
from common.objects.host_power import HostPowerAction
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.live_target import LiveTarget
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.resources import Resources
from common.objects.share_mapping import HOST_TRAIT, ShareMapping
from common.states import PowerState
from services.compute.virt.driver import (
    Checkpoint,
    Driver,
    Inventory,
    PowerSink,
    never_cancelled,
)
from services.compute.virt.fake.director import Director
from services.compute.virt.fake.memory import GuestMemory
from services.compute.virt.tiny_qcow2 import tiny_qcow2

_ASIDE, _OFFER, _LANDING = "-aside", "-offer", "-landing"
# Ports by kind, and for TLS.
_CONSOLES = {
    ConsoleKind.VNC: (5900, None),
    ConsoleKind.SPICE: (5930, 5931),
    ConsoleKind.SERIAL: (10000, None),
}
_FAKE_MEMORY_BYTES = 1 << 27

# As uptime(1) writes it, which clients take apart.
_UPTIME = " 08:00:00 up 1 day,  0:00,  1 user,  load average: 0.00, 0.00, 0.00"


class _Hurried(Exception):
    """A live migration is not to take its time any more."""


def _aside(instance: Instance) -> str:
    """Under which name a guest's disks are kept while it is on another host."""
    return instance.uuid + _ASIDE


def _offer(instance: Instance) -> str:
    """Under which name a guest is offered to another host."""
    return instance.uuid + _OFFER


def _landing(instance: Instance) -> str:
    """Under which name a place for a guest is kept that shall come alive."""
    return instance.uuid + _LANDING


def _address(host: str) -> str:
    """An address of this machine that no other fake host has, or hardly."""
    return str(ipaddress.IPv4Address((127 << 24) + 2 + zlib.crc32(host.encode()) % 0xFFFFF0))


def _power(start: bool) -> PowerState:
    return PowerState.RUNNING if start else PowerState.SHUTDOWN


class FakeDriver(Driver):
    """One host whose guests are entries of a dictionary."""

    def __init__(
        self,
        host: str,
        *,
        total: Resources,
        director: Director,
        memory: GuestMemory,
        snapshots: Path,
        images: Path,
    ) -> None:
        self._host = host
        self._snapshots = snapshots
        self._images = images
        self._total = total
        self._director = director
        self._memory = memory
        self._power_changed: PowerSink = lambda _: None
        self._hurried: set[str] = set()
        self._is_on = True

    def start(self, power_changed: PowerSink) -> None:
        self._power_changed = power_changed

    def stop(self) -> None:
        self._power_changed = lambda _: None

    def health(self) -> str | None:
        return None if self._is_on else "the host is powered off"

    def inventory(self) -> Inventory:
        guests = self._memory.guests(self._host)
        return Inventory(
            node=self._host,
            hypervisor_type="fake",
            hypervisor_version=1000000,
            total=self._total,
            free_disk_gib=self._total.disk_gib,
            running_instances=sum(s is PowerState.RUNNING for s in guests.values()),
            supported=(("x86_64", "fake", "hvm"), ("x86_64", "qemu", "hvm")),
            traits=(HOST_TRAIT,),
            uptime=_UPTIME,
            cpu_info={"arch": "x86_64", "model": "fake", "topology": {"cores": self._total.vcpus}},
            connector={
                "host": self._host,
                "ip": _address(self._host),
                "initiator": f"iqn.2026-01.fake:{self._host}",
                "os_type": "linux",
                "platform": "x86_64",
                "multipath": False,
            },
        )

    def power_host(self, action: HostPowerAction) -> None:
        """A host whose daemon starts is on."""
        if action is not HostPowerAction.STARTUP:
            self._is_on = False
            for uuid, state in self.power_states().items():
                if state is not PowerState.SUSPENDED:  # its memory is on disk
                    self._become(uuid, PowerState.SHUTDOWN)
        self._is_on = action is not HostPowerAction.SHUTDOWN

    def set_maintenance(self, *, on: bool) -> None:
        """Nothing here needs to be prepared for it."""

    def build(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        paused: bool = False,
    ) -> PowerState:
        self._perform("build", checkpoint)
        return self._started(instance, PowerState.PAUSED if paused else PowerState.RUNNING)

    def destroy(self, instance: Instance) -> None:
        self._perform("destroy", never_cancelled)
        for left in (instance.uuid, _aside(instance), _offer(instance), _landing(instance)):
            if self._memory.get(self._host, left) is not None:
                self._memory.put(self._host, left, PowerState.NOSTATE)

    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._with_shares("power_on", instance, checkpoint)

    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._change("power_off", instance, PowerState.SHUTDOWN, checkpoint)

    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._with_shares("reboot", instance, checkpoint)

    def pause(self, instance: Instance) -> PowerState:
        return self._change("pause", instance, PowerState.PAUSED)

    def unpause(self, instance: Instance) -> PowerState:
        return self._change("unpause", instance, PowerState.RUNNING)

    def suspend(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._change("suspend", instance, PowerState.SUSPENDED, checkpoint)

    def resume(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._change("resume", instance, PowerState.RUNNING, checkpoint)

    def rescue(
        self, instance: Instance, image: ImageMeta, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._change("rescue", instance, PowerState.RUNNING, checkpoint)

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._change("unrescue", instance, PowerState.RUNNING, checkpoint)

    def rebuild(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        preserve_ephemeral: bool = False,
    ) -> PowerState:
        self._perform("rebuild", checkpoint)
        return self._started(instance, PowerState.RUNNING)

    def snapshot(
        self, instance: Instance, image_id: str, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        state = self._change("snapshot", instance, None, checkpoint)
        self._snapshots.mkdir(parents=True, exist_ok=True)
        self.snapshot_path(image_id).write_bytes(tiny_qcow2())
        return state

    def snapshot_path(self, image_id: str) -> Path:
        return self._snapshots / f"{self._host}.{image_id}.qcow2"

    def discard_snapshot(self, image_id: str) -> None:
        self._perform("discard_snapshot", never_cancelled)
        self.snapshot_path(image_id).unlink(missing_ok=True)

    def attach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._change("attach_interface", instance, None, checkpoint)

    def detach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._change("detach_interface", instance, None, checkpoint)

    def attach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        state = self._change("attach_volume", instance, None, checkpoint)
        self._have_volumes(instance, self._volumes(instance) | {str(disk.volume_id)})
        return state

    def detach_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        state = self._change("detach_volume", instance, None, checkpoint)
        self._have_volumes(instance, self._volumes(instance) - {str(disk.volume_id)})
        return state

    def swap_volume(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        by: BlockDeviceMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        state = self._change("swap_volume", instance, None, checkpoint)
        others = self._volumes(instance) - {str(disk.volume_id)}
        self._have_volumes(instance, others | {str(by.volume_id)})
        return state

    def extend_volume(self, instance: Instance, disk: BlockDeviceMapping) -> PowerState:
        return self._change("extend_volume", instance)

    def snapshot_volume(
        self, instance: Instance, disk: BlockDeviceMapping, new_file: str
    ) -> PowerState:
        return self._change("snapshot_volume", instance)

    def merge_volume_snapshot(
        self,
        instance: Instance,
        disk: BlockDeviceMapping,
        delete_info: Mapping[str, Any],
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._change("merge_volume_snapshot", instance, None, checkpoint)

    def attach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        state = self._change("attach_share", instance, None, checkpoint)
        self._have_shares(instance, self._shares(instance) | {share.share_id})
        return state

    def detach_share(
        self,
        instance: Instance,
        share: ShareMapping,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        state = self._change("detach_share", instance, None, checkpoint)
        self._have_shares(instance, self._shares(instance) - {share.share_id})
        return state

    def quiesce(self, instance: Instance) -> bool:
        self._change("quiesce", instance)
        return True

    def unquiesce(self, instance: Instance) -> None:
        self._change("unquiesce", instance)

    def trigger_crash_dump(self, instance: Instance) -> PowerState:
        return self._change("trigger_crash_dump", instance)

    def change_password(self, instance: Instance, password: str) -> PowerState:
        return self._change("change_password", instance)

    def set_aside(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> None:
        if self._memory.get(self._host, _aside(instance)) is not None:
            return
        self._change("set_aside", instance, PowerState.SHUTDOWN, checkpoint)
        self._memory.put(self._host, _aside(instance), PowerState.SHUTDOWN)
        self._memory.put(self._host, instance.uuid, PowerState.NOSTATE)

    def take_back(
        self, instance: Instance, *, start: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        if self._memory.get(self._host, _aside(instance)) is None:
            self.power_state(instance.uuid)
        self._perform("take_back", checkpoint)
        self._memory.put(self._host, _aside(instance), PowerState.NOSTATE)
        return self._started(instance, _power(start))

    def forget_aside(self, instance: Instance) -> None:
        self._perform("forget_aside", never_cancelled)
        self._memory.put(self._host, _aside(instance), PowerState.NOSTATE)

    def receive(
        self,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._perform("receive", checkpoint)
        return self._started(instance, _power(start))

    def offer_live(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> None:
        self._change("offer_live", instance, None, checkpoint)
        self._hurried.discard(instance.uuid)
        self._memory.put(self._host, _offer(instance), PowerState.SHUTDOWN)

    def withdraw_live(self, instance: Instance) -> None:
        self._perform("withdraw_live", never_cancelled)
        self._memory.put(self._host, _offer(instance), PowerState.NOSTATE)

    def prepare_live(
        self,
        instance: Instance,
        *,
        from_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> LiveTarget:
        self._perform("prepare_live", checkpoint)
        self._memory.put(self._host, _landing(instance), PowerState.SHUTDOWN)
        return LiveTarget(shares_disks=block_migration is not True)

    def discard_live(self, instance: Instance) -> None:
        self._perform("discard_live", never_cancelled)
        if self._memory.get(self._host, instance.uuid) is not None:
            raise GuestHasArrived(instance=instance.uuid, host=self._host)
        self._memory.put(self._host, _landing(instance), PowerState.NOSTATE)

    def migrate_live(
        self,
        instance: Instance,
        *,
        to_host: str,
        target: LiveTarget,
        disks_there: Sequence[BlockDeviceMapping] = (),
        checkpoint: Checkpoint = never_cancelled,
    ) -> None:
        def go_on() -> None:
            checkpoint()
            if instance.uuid in self._hurried:
                raise _Hurried

        with contextlib.suppress(_Hurried):
            self._perform("migrate_live", go_on)
        self._hurried.discard(instance.uuid)
        state = self._memory.get(self._host, instance.uuid)
        # A host of another process makes the guest itself, when it welcomes it.
        if state is not None and self._memory.get(to_host, _landing(instance)) is not None:
            self._memory.put(to_host, instance.uuid, state)
        for left in (instance.uuid, _offer(instance)):
            self._memory.put(self._host, left, PowerState.NOSTATE)

    def welcome(self, instance: Instance) -> PowerState:
        state = self._memory.get(self._host, instance.uuid)
        if state is None:
            if self._memory.get(self._host, _landing(instance)) is None:
                raise DomainNotFound(instance=instance.uuid, host=self._host)
            state = PowerState(instance.power_state)  # it comes from another process
        self._perform("welcome", never_cancelled)
        self._memory.put(self._host, _landing(instance), PowerState.NOSTATE)
        return self._started(instance, state)

    def live_progress(self, instance_uuid: str) -> MigrationProgress:
        copied, all_of_it = _FAKE_MEMORY_BYTES // 4, _FAKE_MEMORY_BYTES
        return MigrationProgress(
            memory_total_bytes=all_of_it,
            memory_processed_bytes=copied,
            memory_remaining_bytes=all_of_it - copied,
        )

    def complete_live(self, instance_uuid: str) -> None:
        self._hurried.add(instance_uuid)

    def _perform(self, operation: str, checkpoint: Checkpoint) -> None:
        if not self._is_on:
            raise HypervisorError(reason=f"host {self._host} is powered off")
        self._director.perform(operation, checkpoint)

    def _change(
        self,
        operation: str,
        instance: Instance,
        to: PowerState | None = None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Perform `operation` on a guest that is there; `to` None leaves its power as it is."""
        before = self.power_state(instance.uuid)
        self._perform(operation, checkpoint)
        return self._become(instance.uuid, before if to is None else to)

    def _started(self, instance: Instance, state: PowerState) -> PowerState:
        """A guest made anew has the volumes and shares that it shall have."""
        became = self._become(instance.uuid, state)
        self._have_volumes(
            instance, {str(d.volume_id) for d in instance.block_devices if d.is_volume}
        )
        self._have_shares(instance, {each.share_id for each in instance.attached_shares})
        return became

    def _with_shares(
        self, operation: str, instance: Instance, checkpoint: Checkpoint
    ) -> PowerState:
        """A guest that starts has the shares that it shall have."""
        state = self._change(operation, instance, PowerState.RUNNING, checkpoint)
        self._have_shares(instance, {each.share_id for each in instance.attached_shares})
        return state

    def _shares(self, instance: Instance) -> frozenset[str]:
        return self._memory.shares(self._host, instance.uuid)

    def _have_shares(self, instance: Instance, share_ids: Iterable[str]) -> None:
        self._memory.put_shares(self._host, instance.uuid, share_ids)

    def _volumes(self, instance: Instance) -> frozenset[str]:
        return self._memory.volumes(self._host, instance.uuid)

    def _have_volumes(self, instance: Instance, volume_ids: Iterable[str]) -> None:
        self._memory.put_volumes(self._host, instance.uuid, volume_ids)

    def power_state(self, instance_uuid: str) -> PowerState:
        state = self._memory.get(self._host, instance_uuid)
        if state is None:
            raise DomainNotFound(instance=instance_uuid, host=self._host)
        return state

    def power_states(self) -> dict[str, PowerState]:
        guests = self._memory.guests(self._host)
        return {
            uuid: state
            for uuid, state in guests.items()
            if not uuid.endswith((_ASIDE, _OFFER, _LANDING))
        }

    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        self.power_state(instance_uuid)
        log = (
            f"fake guest of {instance_uuid} on {self._host}\n"
            "no kernel to load\nno disk to mount\nready\nlogin: "
        )
        return log[-tail_bytes:] if tail_bytes > 0 else ""

    def console(self, instance_uuid: str, kind: ConsoleKind) -> ConsoleAddress:
        """Where nobody listens: a name that leads nowhere, so that no real guest is met there."""
        if self.power_state(instance_uuid) not in (PowerState.RUNNING, PowerState.PAUSED):
            raise InstanceNotReady(instance=instance_uuid)
        if kind not in _CONSOLES:
            return super().console(instance_uuid, kind)
        port, tls_port = _CONSOLES[kind]
        return ConsoleAddress(host=f"{self._host}.invalid", port=port, tls_port=tls_port)

    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        state = self.power_state(instance_uuid)
        is_on = state is PowerState.RUNNING
        return Diagnostics(
            state=state,
            hypervisor="fake",
            memory_mib=_FAKE_MEMORY_BYTES >> 20 if is_on else None,
            cpu_times_ns=(0,) if is_on else (),
            disks=(DiskCounters(device="vda", read_bytes=0, write_bytes=0),),
        )

    def cache_image(self, image: ImageMeta, checkpoint: Checkpoint = never_cancelled) -> None:
        """Nothing is downloaded; a file named for the image stands for it."""
        self._perform("cache_image", checkpoint)
        self._images.mkdir(parents=True, exist_ok=True)
        (self._images / f"{self._host}.{image.id}").touch()

    def clean(self) -> None:
        """Nothing takes up room."""

    def guest_stops_by_itself(self, instance_uuid: str) -> None:
        """What a guest does that shuts itself down; for tests of power events."""
        self._become(instance_uuid, PowerState.SHUTDOWN)

    def _become(self, instance_uuid: str, state: PowerState) -> PowerState:
        if self._memory.get(self._host, instance_uuid) is not state:
            self._memory.put(self._host, instance_uuid, state)
            self._power_changed(instance_uuid)
        return state

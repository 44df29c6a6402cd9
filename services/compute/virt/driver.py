# SPDX-License-Identifier: Apache-2.0
"""The driver interface: the only door to a hypervisor.

A driver stands for one host. It knows no RPC, no database and no caller: what it learns it returns
or raises, except for power states that changed by themselves, which go to the sink of `start`.
Methods may be called from several threads at once, but never twice at once for one instance.

Here stands what every driver owes its caller. What a hypervisor may lack comes from `abilities`: a
new driver takes these up one by one, and refuses the others in words meanwhile.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from common.objects.diagnostics import Diagnostics
from common.objects.guest_place import GuestPlace
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.resources import Resources
from common.states import PowerState
from services.compute.virt.abilities.cold_moves import ColdMoveAbilities
from services.compute.virt.abilities.guests import GuestAbilities
from services.compute.virt.abilities.host import HostAbilities
from services.compute.virt.abilities.interfaces import InterfaceAbilities
from services.compute.virt.abilities.live_moves import LiveMoveAbilities
from services.compute.virt.abilities.shares import ShareAbilities
from services.compute.virt.abilities.snapshots import SnapshotAbilities
from services.compute.virt.abilities.volumes import VolumeAbilities
from services.compute.virt.terms import Checkpoint, PowerSink, lacks, never_cancelled

__all__ = ["Checkpoint", "Driver", "Inventory", "PowerSink", "lacks", "never_cancelled"]


@dataclass(frozen=True)
class Inventory:
    """What a host has. `supported` is (architecture, hypervisor type, vm mode) triples.

    `hypervisor_version` is the number major * 1000000 + minor * 1000 + release. `connector` is
    how the host reaches volumes, as os-brick describes it. `dedicated_cpus` is how many of its CPUs
    guests may have for themselves; None: any number.
    """

    node: str
    hypervisor_type: str
    hypervisor_version: int
    total: Resources
    free_disk_gib: int
    running_instances: int
    arch: str = "x86_64"
    supported: tuple[tuple[str, str, str], ...] = ()
    cpu_info: dict[str, Any] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    uptime: str | None = None
    connector: dict[str, Any] = field(default_factory=dict)
    dedicated_cpus: int | None = None


class Driver(
    HostAbilities,
    GuestAbilities,
    SnapshotAbilities,
    InterfaceAbilities,
    VolumeAbilities,
    ShareAbilities,
    ColdMoveAbilities,
    LiveMoveAbilities,
    ABC,
):
    """One hypervisor host. Every method may raise HypervisorError beside what it names."""

    @abstractmethod
    def start(self, power_changed: PowerSink) -> None:
        """Connect, and tell `power_changed` from now on of guests whose power state changes.

        Guests that have arrived alive meanwhile are looked after, as by `welcome`, and those that
        a killed daemon has left frozen go on.

        Again: not allowed. Raises: HypervisorError when the hypervisor will never answer; one
        that is merely away is waited for by the calls that need it.
        """

    @abstractmethod
    def stop(self) -> None:
        """Disconnect; guests go on. Again: nothing."""

    @abstractmethod
    def health(self) -> str | None:
        """What is wrong with the hypervisor, in words; None when all is well. Blocks: no."""

    @abstractmethod
    def inventory(self) -> Inventory:
        """What the host has now. Blocks: for well under a second."""

    @abstractmethod
    def build(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        paused: bool = False,
    ) -> PowerState:
        """Make the instance's disks, config drive and guest, and start it; its power state.

        `paused`: with its CPUs stopped, so that it does nothing until `unpause`. A hypervisor that
        cannot do that starts it as ever, which its power state shows.
        Again: what is there is kept, what is half made is made anew, a guest that runs goes on.
        Raises: ImageNotFound, ImageUnacceptable, DiskFull, Unavailable (the image service),
        OperationCancelled; then `destroy` removes what was made.
        Blocks: for the download of the image.
        """

    @abstractmethod
    def destroy(self, instance: Instance) -> None:
        """Remove the guest, at once, and its disks, with those that were set aside.

        Again: nothing left to remove is fine.
        """

    @abstractmethod
    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Start the guest, defined anew from `instance` if it was lost; its power state.

        Again: a guest that runs goes on.
        Raises: DomainNotFound when its disks are gone; OperationCancelled.
        """

    @abstractmethod
    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Ask the guest to shut down; cut its power after `grace_s` seconds (0: at once).

        Again: a guest that is off stays off.
        Raises: DomainNotFound; OperationCancelled (the guest may still go down).
        Blocks: for `grace_s` and a little.
        """

    @abstractmethod
    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Restart the guest: by its own shutdown, or `hard` with its definition made anew.

        A guest that does not follow in the driver's time is rebooted hard.
        Again: the guest is restarted once more.
        Raises: DomainNotFound when its disks are gone; OperationCancelled.
        """

    def revive(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Have a guest run again that went down with its host.

        Where somebody saved its memory meanwhile, as libvirt-guests does, it goes on from that.
        Again: a guest that runs goes on. Raises: DomainNotFound when its disks are gone;
        OperationCancelled.
        """
        return self.power_on(instance, checkpoint)

    def rebuild(
        self,
        instance: Instance,
        checkpoint: Checkpoint = never_cancelled,
        *,
        preserve_ephemeral: bool = False,
    ) -> PowerState:
        """Make disks and guest anew from the image that `instance` has now, and start it.

        Again: once more, from the beginning. Raises: what `build` raises, and NotSupported.
        Blocks: for the download of the image.
        """
        if preserve_ephemeral:
            raise lacks("keep ephemeral disks when it rebuilds a guest")
        self.destroy(instance)
        return self.build(instance, checkpoint)

    @abstractmethod
    def power_state(self, instance_uuid: str) -> PowerState:
        """The guest's power state. Raises: DomainNotFound."""

    @abstractmethod
    def power_states(self) -> dict[str, PowerState]:
        """Every guest of ours on the host, by instance uuid. Blocks: for 1 ms a guest at most."""

    @abstractmethod
    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        """The end of the guest's serial log; empty while it has none. Raises: DomainNotFound."""

    @abstractmethod
    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        """What the hypervisor counts of the guest, which may be off. Raises: DomainNotFound."""

    def place(self, instance_uuid: str) -> GuestPlace:
        """Where on the host the guest is, which may be off. Raises: DomainNotFound."""
        return GuestPlace()

    @abstractmethod
    def cache_image(self, image: ImageMeta, checkpoint: Checkpoint = never_cancelled) -> None:
        """Fetch an image that guests may be built from soon, where the host keeps images.

        Again: one that is there is kept. Raises: ImageNotFound, ImageUnacceptable, DiskFull,
        Unavailable, OperationCancelled. Blocks: for the download.
        """

    @abstractmethod
    def clean(self) -> None:
        """Housekeeping between operations, called now and then: drop caches that nobody uses."""

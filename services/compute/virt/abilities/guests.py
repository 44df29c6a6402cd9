# SPDX-License-Identifier: Apache-2.0
"""What a driver may do with a guest beside switching it on and off."""

from common.objects.console import ConsoleAddress, ConsoleKind
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.states import PowerState
from services.compute.virt.terms import Checkpoint, lacks, never_cancelled


class GuestAbilities:
    """Pause, suspend, rescue, crash dumps, passwords and consoles."""

    def pause(self, instance: Instance) -> PowerState:
        """Stop the guest's CPUs. Again: they stay stopped. Raises: DomainNotFound, NotSupported."""
        raise lacks("pause guests")

    def unpause(self, instance: Instance) -> PowerState:
        """Let the CPUs go on. Again: they go on. Raises: DomainNotFound, NotSupported."""
        raise lacks("pause guests")

    def suspend(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Save the guest's memory to the host's disk and stop it.

        Again: what is saved stays saved.
        Raises: DomainNotFound, NotSupported, DiskFull, OperationCancelled.
        Blocks: for as long as writing the memory takes.
        """
        raise lacks("suspend guests")

    def resume(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Let the guest go on from its saved memory; it boots where there is none.

        Again: a guest that runs goes on. Raises: DomainNotFound, NotSupported, OperationCancelled.
        """
        raise lacks("suspend guests")

    def rescue(
        self, instance: Instance, image: ImageMeta, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        """Start the guest from a disk made of `image`, with its own disks beside it.

        Again: a rescue disk that is there is kept, the guest is started anew.
        Raises: DomainNotFound, NotSupported, ImageNotFound, ImageUnacceptable, DiskFull,
        Unavailable (the image service), OperationCancelled; then `unrescue` brings it back.
        Blocks: for the download of the image.
        """
        raise lacks("rescue guests")

    def unrescue(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        """Start the guest from its own disk again and remove the rescue disk.

        Again: a guest without a rescue disk is started anew.
        Raises: DomainNotFound, NotSupported, OperationCancelled.
        """
        raise lacks("rescue guests")

    def trigger_crash_dump(self, instance: Instance) -> PowerState:
        """Send the guest a non-maskable interrupt. Again: another one.

        Raises: DomainNotFound, NotSupported.
        """
        raise lacks("trigger crash dumps")

    def change_password(self, instance: Instance, password: str) -> PowerState:
        """Set the password of the guest's administrator. Again: the last one holds.

        Raises: DomainNotFound, NotSupported (no agent answers in the guest).
        """
        raise lacks("change passwords of guests")

    def console(self, instance_uuid: str, kind: ConsoleKind) -> ConsoleAddress:
        """Where the guest's screen or serial port listens, as the console daemon reaches it.

        Raises: DomainNotFound; InstanceNotReady, while the guest is off; ConsoleTypeUnavailable,
        where it has none of the kind; NotSupported, where no guest of the driver has.
        Blocks: for some milliseconds.
        """
        raise lacks(f"show {kind} consoles of guests")

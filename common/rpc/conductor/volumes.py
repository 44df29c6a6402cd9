# SPDX-License-Identifier: Apache-2.0
"""Volumes: which volumes instances have."""

from typing import Any

from common.context import RequestContext
from common.objects.volume import RequestedVolume
from common.rpc.conductor import TOPIC
from common.rpc.interface import Interface, call


class Volumes(Interface, topic=TOPIC, namespace="volumes", version="1.0"):
    """Which volumes instances have. Each raises: InstanceNotFound.

    1.0  first release
    """

    @call()
    def attach(
        self,
        ctx: RequestContext,
        instance: str,
        *,
        wanted: RequestedVolume,
        shelved_too: bool = True,
    ) -> str:
        """Accept to attach a volume; the task that does it.

        `shelved_too`: whether an instance that is shelved may get it.
        Raises: InvalidVolume (the instance has it), DeviceInUse, TooManyDevices, InstanceLocked,
        InstanceInvalidState, InstanceNotReady, Invalid.
        """

    @call()
    def attached(self, ctx: RequestContext, instance: str, *, task: str) -> str | None:
        """The device name under which an `attach` has reserved the volume; None while it has not.

        Raises: TaskNotFound, and what it failed with.
        """

    @call()
    def detach(
        self, ctx: RequestContext, instance: str, *, volume_id: str, shelved_too: bool = True
    ) -> str:
        """Accept to detach a volume; the task that does it.

        Raises: VolumeNotAttached, Invalid (it boots from it), HostDown, InstanceLocked,
        InstanceInvalidState.
        """

    @call()
    def detaching(self, ctx: RequestContext, instance: str, *, task: str) -> bool:
        """Whether a `detach` shows at the volume service already.

        Raises: TaskNotFound, and what it failed with before.
        """

    @call()
    def swap(
        self, ctx: RequestContext, instance: str, *, volume_id: str, wanted: RequestedVolume
    ) -> None:
        """Accept to copy a volume's data to another one, which takes its place.

        Raises: VolumeNotAttached, InvalidVolume, InstanceLocked, InstanceInvalidState.
        """

    @call()
    def update(
        self, ctx: RequestContext, instance: str, *, volume_id: str, delete_on_termination: bool
    ) -> None:
        """Say whether the volume is deleted with the instance. Raises: VolumeNotAttached."""

    @call()
    def snapshot_assisted(
        self, ctx: RequestContext, *, volume_id: str, snapshot_id: str, new_file: str
    ) -> None:
        """Accept that the host of the instance that has the volume makes a snapshot of it.

        Raises: VolumeNotAttached, InvalidVolume (several instances have it), InstanceNotReady,
        InstanceInvalidState.
        """

    @call()
    def drop_assisted_snapshot(
        self, ctx: RequestContext, *, volume_id: str, snapshot_id: str, delete_info: dict[str, Any]
    ) -> None:
        """Accept that the host merges a snapshot away; `delete_info` is the volume service's.

        Raises: as `snapshot_assisted`.
        """

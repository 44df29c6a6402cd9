# SPDX-License-Identifier: Apache-2.0
"""The fake driver: guests in memory, with delays and failures to order.

For tests of scale (one process stands for thousands of hosts) and of failures. With a state file,
guests outlive a killed process as real ones do: a test can tell whether one leaked.
"""

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import errors
from common.errors import DomainNotFound, HypervisorError, KilonovaError
from common.objects.diagnostics import Diagnostics, DiskCounters
from common.objects.image import ImageMeta
from common.objects.instance import Instance
from common.objects.migration import MigrationProgress
from common.objects.network import VirtualInterface
from common.objects.resources import Resources
from common.states import PowerState
from services.compute.virt.driver import (
    Checkpoint,
    Driver,
    Inventory,
    PowerSink,
    never_cancelled,
)
from services.compute.virt.tiny_qcow2 import tiny_qcow2

_ASIDE = "-aside"
_FAKE_MEMORY_BYTES = 1 << 27
_SLICE_S = 0.05  # how long a delay sleeps between two checkpoints

# As uptime(1) writes it, which clients take apart.
_UPTIME = " 08:00:00 up 1 day,  0:00,  1 user,  load average: 0.00, 0.00, 0.00"


@dataclass(frozen=True)
class Fault:
    """`operation` (or `*`) fails with `error` in `probability` of its runs."""

    operation: str
    probability: float
    error: str

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """From `operation:probability:error`. Raises: ValueError."""
        operation, probability, error = text.split(":")
        if not issubclass(getattr(errors, error, object), KilonovaError):
            raise ValueError(f"{error} is not an error of common/errors.py")
        return cls(operation, float(probability), error)


@dataclass(frozen=True)
class Behaviour:
    """How operations go: seconds by operation, and which fail."""

    delays_s: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    @classmethod
    def parse(cls, delays_ms: Mapping[str, Any], faults: Iterable[str]) -> "Behaviour":
        """From configured text. Raises: ValueError."""
        return cls(
            {operation: float(ms) / 1000 for operation, ms in delays_ms.items()},
            tuple(Fault.parse(text) for text in faults),
        )


class Director:
    """Says how each operation goes; a control file overrules what was configured.

    A test changes the file while the process runs. Shared by all fake hosts of a process.
    """

    def __init__(
        self,
        configured: Behaviour,
        *,
        control_file: Path | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._configured = configured
        self._control_file = control_file
        self._chance = chance
        self._read: tuple[int, Behaviour] | None = None

    def perform(self, operation: str, checkpoint: Checkpoint) -> None:
        """Take the operation's time, then fail if it shall. Raises what the fault names."""
        behaviour = self._current()
        delay_s = behaviour.delays_s.get(operation, behaviour.delays_s.get("*", 0))
        until = time.monotonic() + delay_s
        while (left_s := until - time.monotonic()) > 0:
            checkpoint()
            time.sleep(min(left_s, _SLICE_S))
        checkpoint()
        for fault in behaviour.faults:
            if fault.operation in (operation, "*") and self._chance() < fault.probability:
                reason = f"{operation} fails here by order of the configuration"
                raise getattr(errors, fault.error)(reason, reason=reason)

    def _current(self) -> Behaviour:
        if self._control_file is None:
            return self._configured
        try:
            changed_ns = self._control_file.stat().st_mtime_ns
            if self._read is None or self._read[0] != changed_ns:
                orders = json.loads(self._control_file.read_text())
                parsed = Behaviour.parse(orders.get("delays_ms", {}), orders.get("faults", []))
                self._read = (changed_ns, parsed)
            return self._read[1]
        except FileNotFoundError:
            return self._configured
        except (ValueError, TypeError) as unreadable:
            raise HypervisorError(reason=f"{self._control_file}: {unreadable}") from unreadable


class GuestMemory:
    """Power states of guests by host, kept in a file when there is one.

    The file is a log: a line a change. Reading plays it back, and starts it anew.
    """

    def __init__(self, state_file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[str, dict[str, PowerState]] = {}
        self._log: int | None = None
        if state_file is not None:
            self._replay(state_file)

    def _replay(self, state_file: Path) -> None:
        if state_file.exists():
            for line in state_file.read_text().splitlines():
                words = line.split()
                if len(words) == 3:  # a killed process may leave half a line
                    self._set(words[0], words[1], PowerState(int(words[2])))
        fresh = state_file.with_suffix(".new")
        fresh.write_text(
            "".join(
                f"{host} {uuid} {int(state)}\n"
                for host, guests in self._hosts.items()
                for uuid, state in guests.items()
            )
        )
        fresh.replace(state_file)
        self._log = os.open(state_file, os.O_WRONLY | os.O_APPEND)

    def guests(self, host: str) -> dict[str, PowerState]:
        """A copy of the host's guests."""
        with self._lock:
            return dict(self._hosts.get(host, {}))

    def get(self, host: str, uuid: str) -> PowerState | None:
        """A guest's power state; None when there is no such guest."""
        with self._lock:
            return self._hosts.get(host, {}).get(uuid)

    def put(self, host: str, uuid: str, state: PowerState) -> None:
        """Make the guest, or change it; NOSTATE removes it."""
        with self._lock:
            self._set(host, uuid, state)
            if self._log is not None:
                os.write(self._log, f"{host} {uuid} {int(state)}\n".encode())

    def _set(self, host: str, uuid: str, state: PowerState) -> None:
        guests = self._hosts.setdefault(host, {})
        if state is PowerState.NOSTATE:
            guests.pop(uuid, None)
        else:
            guests[uuid] = state


class _Hurried(Exception):
    """A live migration is not to take its time any more."""


def _aside(instance: Instance) -> str:
    """Under which name a guest's disks are kept while it is on another host."""
    return instance.uuid + _ASIDE


def _started(start: bool) -> PowerState:
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
    ) -> None:
        self._host = host
        self._snapshots = snapshots
        self._total = total
        self._director = director
        self._memory = memory
        self._power_changed: PowerSink = lambda _: None
        self._hurried: set[str] = set()

    def start(self, power_changed: PowerSink) -> None:
        self._power_changed = power_changed

    def stop(self) -> None:
        self._power_changed = lambda _: None

    def health(self) -> str | None:
        return None

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
            uptime=_UPTIME,
            cpu_info={"arch": "x86_64", "model": "fake", "topology": {"cores": self._total.vcpus}},
        )

    def build(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        self._director.perform("build", checkpoint)
        return self._become(instance.uuid, PowerState.RUNNING)

    def destroy(self, instance: Instance) -> None:
        self._director.perform("destroy", never_cancelled)
        for left in (instance.uuid, _aside(instance)):
            if self._memory.get(self._host, left) is not None:
                self._memory.put(self._host, left, PowerState.NOSTATE)

    def power_on(self, instance: Instance, checkpoint: Checkpoint = never_cancelled) -> PowerState:
        return self._change("power_on", instance, PowerState.RUNNING, checkpoint)

    def power_off(
        self, instance: Instance, *, grace_s: int, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._change("power_off", instance, PowerState.SHUTDOWN, checkpoint)

    def reboot(
        self, instance: Instance, *, hard: bool, checkpoint: Checkpoint = never_cancelled
    ) -> PowerState:
        return self._change("reboot", instance, PowerState.RUNNING, checkpoint)

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
        self._director.perform("rebuild", checkpoint)
        return self._become(instance.uuid, PowerState.RUNNING)

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
        self._director.perform("discard_snapshot", never_cancelled)
        self.snapshot_path(image_id).unlink(missing_ok=True)

    def attach_interface(
        self,
        instance: Instance,
        vif: VirtualInterface,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        return self._change("attach_interface", instance, None, checkpoint)

    def detach_interface(self, instance: Instance, vif: VirtualInterface) -> PowerState:
        return self._change("detach_interface", instance)

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
        self._director.perform("take_back", checkpoint)
        self._memory.put(self._host, _aside(instance), PowerState.NOSTATE)
        return self._become(instance.uuid, _started(start))

    def forget_aside(self, instance: Instance) -> None:
        self._director.perform("forget_aside", never_cancelled)
        self._memory.put(self._host, _aside(instance), PowerState.NOSTATE)

    def receive(
        self,
        instance: Instance,
        *,
        from_host: str,
        start: bool,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        self._director.perform("receive", checkpoint)
        return self._become(instance.uuid, _started(start))

    def migrate_live(
        self,
        instance: Instance,
        *,
        to_host: str,
        block_migration: bool | None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> None:
        def go_on() -> None:
            checkpoint()
            if instance.uuid in self._hurried:
                raise _Hurried

        with contextlib.suppress(_Hurried):
            self._director.perform("migrate_live", go_on)
        self._hurried.discard(instance.uuid)
        self._memory.put(self._host, instance.uuid, PowerState.NOSTATE)

    def welcome(self, instance: Instance) -> PowerState:
        self._director.perform("welcome", never_cancelled)
        return self._become(instance.uuid, PowerState(instance.power_state))

    def live_progress(self, instance_uuid: str) -> MigrationProgress:
        copied, all_of_it = _FAKE_MEMORY_BYTES // 4, _FAKE_MEMORY_BYTES
        return MigrationProgress(
            memory_total_bytes=all_of_it,
            memory_processed_bytes=copied,
            memory_remaining_bytes=all_of_it - copied,
        )

    def complete_live(self, instance_uuid: str) -> None:
        self._hurried.add(instance_uuid)

    def _change(
        self,
        operation: str,
        instance: Instance,
        to: PowerState | None = None,
        checkpoint: Checkpoint = never_cancelled,
    ) -> PowerState:
        """Perform `operation` on a guest that is there; `to` None leaves its power as it is."""
        before = self.power_state(instance.uuid)
        self._director.perform(operation, checkpoint)
        return self._become(instance.uuid, before if to is None else to)

    def power_state(self, instance_uuid: str) -> PowerState:
        state = self._memory.get(self._host, instance_uuid)
        if state is None:
            raise DomainNotFound(instance=instance_uuid, host=self._host)
        return state

    def power_states(self) -> dict[str, PowerState]:
        guests = self._memory.guests(self._host)
        return {uuid: state for uuid, state in guests.items() if not uuid.endswith(_ASIDE)}

    def console_output(self, instance_uuid: str, *, tail_bytes: int) -> str:
        self.power_state(instance_uuid)
        log = (
            f"fake guest of {instance_uuid} on {self._host}\n"
            "no kernel to load\nno disk to mount\nready\nlogin: "
        )
        return log[-tail_bytes:] if tail_bytes > 0 else ""

    def diagnostics(self, instance_uuid: str) -> Diagnostics:
        state = self.power_state(instance_uuid)
        is_on = state is PowerState.RUNNING
        return Diagnostics(
            state=state,
            hypervisor="fake",
            cpu_times_ns=(0,) if is_on else (),
            disks=(DiskCounters(device="vda", read_bytes=0, write_bytes=0),),
        )

    def clean(self) -> None:
        """Nothing is cached."""

    def guest_stops_by_itself(self, instance_uuid: str) -> None:
        """What a guest does that shuts itself down; for tests of power events."""
        self._become(instance_uuid, PowerState.SHUTDOWN)

    def _become(self, instance_uuid: str, state: PowerState) -> PowerState:
        if self._memory.get(self._host, instance_uuid) is not state:
            self._memory.put(self._host, instance_uuid, state)
            self._power_changed(instance_uuid)
        return state

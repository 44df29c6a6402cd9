# SPDX-License-Identifier: Apache-2.0
"""A guest on its way: a live migration that is watched, hurried, or given up."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from common.errors import HypervisorError, KilonovaError, OperationCancelled
from common.objects.migration import MigrationProgress
from services.compute.virt.driver import Checkpoint
from services.compute.virt.libvirt.settings import MigrationSettings

LOG = logging.getLogger(__name__)

_LOOK_S = 0.1
_HURRY_AGAIN_S = 1.0
_GIB = 1 << 30
# QEMU's upper limit. The guest then stands still for as long as the rest of its memory takes.
_ANY_DOWNTIME_MS = 2_000_000
_OFF_OR_GONE = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN)


class Transit:
    """One migration; `send` is libvirt's call, which returns when the guest has gone.

    `is_hurried` says whether the migration shall end soon, at the price of a longer pause.
    """

    def __init__(
        self,
        domain: Any,
        send: Callable[[], Any],
        settings: MigrationSettings,
        *,
        moved_bytes: int,
        is_hurried: Callable[[], bool],
    ) -> None:
        self._domain = domain
        self._send = send
        self._settings = settings
        self._is_hurried = is_hurried
        self._limit_s = settings.timeout_s * max(1.0, moved_bytes / _GIB)
        self._done = threading.Event()
        self._failed: libvirt.libvirtError | None = None
        self._is_late = False
        self._hurry_at = 0.0

    def run(self, checkpoint: Checkpoint) -> None:
        """Send the guest. Raises: OperationCancelled, HypervisorError; then it has stayed, or so
        libvirt says.
        """
        started = time.monotonic()
        threading.Thread(target=self._call, name="migration", daemon=True).start()
        given_up: KilonovaError | None = None
        while not self._done.wait(_LOOK_S):
            given_up = given_up or self._reason_to_stop(checkpoint, time.monotonic() - started)
            if given_up is not None:
                abort(self._domain)  # again and again: a job that has not begun cannot be aborted
            elif self._is_late or self._is_hurried():
                self._hurry()
        if self._failed is None:
            LOG.info("The guest has gone after %.1f s", time.monotonic() - started)
            return
        if given_up is not None:
            raise given_up from self._failed
        raise HypervisorError(reason=str(self._failed)) from self._failed

    def _call(self) -> None:
        try:
            self._send()
        except libvirt.libvirtError as failed:
            self._failed = failed
        finally:
            self._done.set()

    def _hurry(self) -> None:
        # Now and then: what is asked for while disks are copied is forgotten when memory follows.
        if time.monotonic() >= self._hurry_at:
            hurry(self._domain, self._settings)
            self._hurry_at = time.monotonic() + _HURRY_AGAIN_S

    def _reason_to_stop(self, checkpoint: Checkpoint, took_s: float) -> KilonovaError | None:
        try:
            checkpoint()
        except OperationCancelled as cancelled:
            return cancelled
        if not self._limit_s or took_s < self._limit_s:
            return None
        if self._settings.timeout_action == "force_complete":
            self._is_late = True
            return None
        return HypervisorError(
            reason=f"the guest has not moved within {self._limit_s:.0f} s: it changes its memory, "
            "or its disks, faster than they can be copied"
        )


def is_under_way(domain: Any) -> bool:
    """Whether a job, such as a migration, works on the guest. Raises: libvirtError."""
    try:
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    except libvirt.libvirtError as refused:
        if refused.get_error_code() not in _OFF_OR_GONE:
            raise
        return False


def abort(domain: Any) -> None:
    """Stop the job that works on the guest. Again, or without one: nothing."""
    with contextlib.suppress(libvirt.libvirtError):
        domain.abortJob()


def hurry(domain: Any, settings: MigrationSettings) -> None:
    """Have a migration end soon: the guest goes at once and its memory follows, or it stands still
    for the rest of it. Again, or too early: nothing.
    """
    ways: list[tuple[str, Callable[[], Any]]] = [
        ("a longer pause", lambda: domain.migrateSetMaxDowntime(_ANY_DOWNTIME_MS, 0))
    ]
    if settings.post_copy:
        ways.insert(0, ("post-copy", lambda: domain.migrateStartPostCopy(0)))
    for way, go in ways:
        try:
            go()
            return
        except libvirt.libvirtError as refused:
            LOG.debug("It is not the time for %s: %s", way, refused)


def progress(domain: Any) -> MigrationProgress:
    """How far it is; nothing known without a migration. Raises: libvirtError."""
    if not is_under_way(domain):
        return MigrationProgress()
    try:
        stats = domain.jobStats()
    except libvirt.libvirtError as refused:
        if refused.get_error_code() not in _OFF_OR_GONE:
            raise
        return MigrationProgress()  # it has gone since
    return MigrationProgress(
        memory_total_bytes=stats.get("memory_total"),
        memory_processed_bytes=stats.get("memory_processed"),
        memory_remaining_bytes=stats.get("memory_remaining"),
        disk_total_bytes=stats.get("disk_total"),
        disk_processed_bytes=stats.get("disk_processed"),
        disk_remaining_bytes=stats.get("disk_remaining"),
    )

# SPDX-License-Identifier: Apache-2.0
"""os-brick: how this host reaches volumes, and what it says when it cannot.

os-brick reads oslo.config's global configuration and runs what needs root by oslo.privsep. Both are
set here, once, from values: without a helper command it runs such things in this process, with
the privileges that the daemon has.
"""

import contextlib
import logging
import platform
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import os_brick
from os_brick import exception, privileged
from os_brick.initiator import connector as initiators
from os_brick.initiator import utils as initiator_utils
from os_brick.remotefs.remotefs import RemoteFsClient
from oslo_concurrency import lockutils, processutils
from oslo_config import cfg
from oslo_privsep.daemon import FailedToDropPrivileges
from oslo_utils import strutils

from common.errors import VolumeUnreachable
from services.compute import mounts
from services.compute.volume_sources import BLOCK_TYPES, SHARE_TYPES

LOG = logging.getLogger(__name__)

# What os-brick lets out: its own errors, those of the programs that it runs, and what Python makes
# of connection data that lacks something.
FAILURES = (
    exception.BrickException,
    processutils.ProcessExecutionError,
    FailedToDropPrivileges,
    NotImplementedError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
)
_MOST_SAID = 400


class Connector(Protocol):
    """One of os-brick's connectors. Each method may raise one of FAILURES."""

    def connect_volume(self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        """Have the volume's device appear; what it is. Again: it is there."""

    def disconnect_volume(
        self,
        connection_properties: dict[str, Any],
        device_info: dict[str, Any] | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Have the device go. Again: it is gone. `force`: though data may not be written yet."""

    def extend_volume(self, connection_properties: dict[str, Any]) -> int | None:
        """Notice the volume's new size; it in bytes, where it is known."""


@dataclass(frozen=True)
class BrickSettings:
    """Who this host is to the volume service, and os-brick's folders and manners."""

    host: str
    host_ip: str
    lock_path: Path
    mount_path: Path
    nfs_mount_options: str = ""
    multipath: bool = False
    enforce_multipath: bool = False
    device_scan_attempts: int = 5
    privileged_helper: str = ""


class Brick:
    """os-brick with its settings; what is global about it belongs to the last one made."""

    def __init__(self, settings: BrickSettings) -> None:
        self._settings = settings
        self._properties: dict[str, Any] | None = None
        self._lock = threading.Lock()
        settings.lock_path.mkdir(parents=True, exist_ok=True)
        lockutils.set_defaults(str(settings.lock_path))
        os_brick.setup(cfg.CONF)
        has_helper = bool(settings.privileged_helper)
        for context in (privileged.default, privileged.brick_privsep_hide_output):
            context.set_client_mode(has_helper)
        if has_helper:
            cfg.CONF.set_override(
                "helper_command", settings.privileged_helper, group="privsep_osbrick"
            )

    def host_properties(self) -> dict[str, Any]:
        """How the volume service is told about this host; found out once.

        What cannot be found out is left out, and looked for again at the next call.
        """
        settings = self._settings
        with self._lock:
            if self._properties is None:
                try:
                    self._properties = initiators.get_connector_properties(
                        "",
                        settings.host_ip,
                        settings.multipath,
                        settings.enforce_multipath,
                        host=settings.host,
                    )
                except FAILURES as failed:
                    LOG.warning("This host's ways to volumes are not known: %s", in_words(failed))
                    return self._least_properties()
            return dict(self._properties or {})

    def connector(self, kind: str) -> Connector:
        """The connector for volumes of type `kind`. Raises: one of FAILURES."""
        settings = self._settings
        more: dict[str, Any] = {}
        if kind in SHARE_TYPES:
            more["execute"] = mounts.execute
            more["conn"] = {"mount_point_base": str(settings.mount_path)}
            more[f"{kind}_mount_options"] = settings.nfs_mount_options or None
        made: Connector = initiators.InitiatorConnector.factory(
            kind,
            "",
            use_multipath=settings.multipath,
            device_scan_attempts=settings.device_scan_attempts,
            **more,
        )
        return made

    @contextlib.contextmanager
    def guarded(self, kind: str) -> Iterator[None]:
        """Keep others away while a block device comes or goes.

        Targets may be shared by volumes, and an old iSCSI initiator that scans them all for one
        would bring back what another has just removed.
        """
        if kind not in BLOCK_TYPES:
            yield
            return
        shared = {"shared_targets": True, "service_uuid": "kilonova"}
        with initiator_utils.guard_connection(shared):
            yield

    def answers(self, folder: Path) -> bool:
        """Whether the share that is mounted there answers. Raises: one of FAILURES."""
        return mounts.answers(folder)

    def unmount(self, export: str) -> None:
        """Unmount an NFS share. Again: it is not mounted. Raises: one of FAILURES."""
        client = RemoteFsClient("nfs", "", nfs_mount_point_base=str(self._settings.mount_path))
        folder = Path(client.get_mount_point(export))
        mounts.unmount(folder)
        folder.rmdir()

    def _least_properties(self) -> dict[str, Any]:
        return {
            "host": self._settings.host,
            "ip": self._settings.host_ip,
            "platform": platform.machine(),
            "os_type": sys.platform,
            "multipath": False,
        }


@contextlib.contextmanager
def brick_speaks(volume_id: str | None) -> Iterator[None]:
    """Turn what os-brick raises into VolumeUnreachable, without secrets."""
    try:
        yield
    except FAILURES as failed:
        raise VolumeUnreachable(volume=volume_id, reason=in_words(failed)) from failed


def in_words(failed: BaseException) -> str:
    """What went wrong, in a line of bounded length."""
    if isinstance(failed, processutils.ProcessExecutionError):
        said = (failed.stderr or "").strip() or str(failed.description or "")
        text = f"{str(failed.cmd or 'a command').split()[0]}: {said or f'exit {failed.exit_code}'}"
    elif isinstance(failed, KeyError):
        text = f"the volume service does not say {failed}"
    else:
        text = str(failed) or type(failed).__name__
    text = re.sub(r"\s+", " ", strutils.mask_password(text)).strip()
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"

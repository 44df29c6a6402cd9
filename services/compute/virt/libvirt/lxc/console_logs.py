# SPDX-License-Identifier: Apache-2.0
"""ConsoleLogs: what containers write to their consoles, kept in files.

libvirt keeps a log of machines' consoles, but none of containers'. What nobody reads soon fills the
console's buffer, and then a container that writes stands still. So somebody reads all the time.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from common.errors import HypervisorError
from services.compute.virt.libvirt.connection import Connection

LOG = logging.getLogger(__name__)

_CHUNK = 65536
_NOTHING_YET = -2
_LOG_BYTES = 1 << 20
# One that writes more has to wait until its next second, as on a slow line.
_BYTES_A_SECOND = 1 << 18
_AGAIN_S = 1.0
_READABLE = (
    libvirt.VIR_STREAM_EVENT_READABLE
    | libvirt.VIR_STREAM_EVENT_ERROR
    | libvirt.VIR_STREAM_EVENT_HANGUP
)


@dataclass(eq=False)
class _Reader:
    """The console of one run of a container, `domain_id`, over one connection."""

    instance_uuid: str
    domain_id: int
    connection: Any
    stream: Any
    second: float = 0.0
    read_bytes: int = 0


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else may read: passwords are typed at consoles."""
    return os.open(path, flags, 0o600)


class ConsoleLogs:
    """Reads the consoles of containers that it was told of. `log_of` an instance: its file."""

    def __init__(self, uri: str, log_of: Callable[[str], Path]) -> None:
        # Not the driver's: its threads make calls, which do not go with streams.
        self._connection = Connection(uri)
        self._log_of = log_of
        self._work: queue.SimpleQueue[str | _Reader | None] = queue.SimpleQueue()
        self._readers: dict[str, _Reader] = {}  # of the thread below
        self._thread = threading.Thread(target=self._run, name="container-consoles", daemon=True)

    def start(self) -> None:
        """Read from now on. Again: not allowed."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. Again, or never started: nothing."""
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join()
        self._connection.close()

    def follow(self, instance_uuid: str) -> None:
        """Read the container's console, if it runs. Again: it is read. Blocks: no."""
        self._work.put(instance_uuid)

    # --- on a thread of its own, which may wait for libvirt ---

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            if isinstance(work, _Reader):
                self._end(work)
            else:
                self._begin(work)
        for reader in list(self._readers.values()):
            self._end(reader)

    def _begin(self, instance_uuid: str) -> None:
        connection = None
        try:
            connection = self._connection.get()
            self._read(connection, instance_uuid)
        except (libvirt.libvirtError, HypervisorError) as gone:
            LOG.debug("The console of container %s is not read: %s", instance_uuid, gone)
            # It has stopped again, or libvirt has: the driver may know of a new one before we do.
            if connection is None or not connection.isAlive():
                self._again(instance_uuid)

    def _read(self, connection: Any, instance_uuid: str) -> None:
        domain = connection.lookupByUUIDString(instance_uuid)
        domain_id = domain.ID()
        known = self._readers.get(instance_uuid)
        if known is not None and (known.domain_id, known.connection) == (domain_id, connection):
            return
        # The stream of an earlier run is not cut off: it has its last words, and ends by itself.
        if domain_id == -1:
            return
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        domain.openConsole(None, stream, 0)
        reader = _Reader(instance_uuid, domain_id, connection, stream)
        self._readers[instance_uuid] = reader
        stream.eventAddCallback(_READABLE, self._readable, reader)

    def _again(self, instance_uuid: str) -> None:
        timer = threading.Timer(_AGAIN_S, self.follow, (instance_uuid,))
        timer.daemon = True
        timer.start()

    def _end(self, reader: _Reader) -> None:
        if self._readers.get(reader.instance_uuid) is reader:
            del self._readers[reader.instance_uuid]
        for end in (reader.stream.eventRemoveCallback, reader.stream.abort):
            try:
                end()
            except libvirt.libvirtError as ended:
                LOG.debug("The console of container %s has ended: %s", reader.instance_uuid, ended)

    # --- on libvirt's thread: no waiting ---

    def _readable(self, stream: Any, _: int, reader: _Reader) -> None:
        try:
            data = stream.recv(_CHUNK)
        except libvirt.libvirtError:
            data = b""
        if data == _NOTHING_YET:
            return
        if not data or not self._write(reader, data):
            stream.eventRemoveCallback()
            self._work.put(reader)
        elif self._is_flood(reader, len(data)):
            stream.eventRemoveCallback()
            self._work.put(reader)
            self._again(reader.instance_uuid)

    def _is_flood(self, reader: _Reader, count: int) -> bool:
        now = time.monotonic()
        if now - reader.second > 1:
            reader.second, reader.read_bytes = now, 0
        reader.read_bytes += count
        return reader.read_bytes > _BYTES_A_SECOND

    def _write(self, reader: _Reader, data: bytes) -> bool:
        """Append it to the log; whether there is any sense in going on."""
        log = self._log_of(reader.instance_uuid)
        try:
            with open(log, "ab", opener=_private) as file:
                file.write(data)
                size = file.tell()
            if size > _LOG_BYTES:
                log.replace(log.with_name(f"{log.name}.0"))
        except FileNotFoundError:
            return False  # the instance is gone
        except OSError as failed:
            LOG.warning("The console of container %s is lost: %s", reader.instance_uuid, failed)
            return False
        return True

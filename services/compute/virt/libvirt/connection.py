# SPDX-License-Identifier: Apache-2.0
"""The connection to libvirt: opened when needed, again after it broke, with events.

libvirt's event loop is one a process and runs on a thread of its own; it also notices a libvirtd
that answers no longer.

Threads share a connection, but not with a stream: libvirt's client (seen with 9.0) loses the answer
to a call when a stream ends on the same connection, and then the call waits for ever.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

from common.errors import DomainNotFound, HypervisorError

LOG = logging.getLogger(__name__)

_KEEPALIVE_S = 5
_KEEPALIVE_COUNT = 3
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

_loop_lock = threading.Lock()
_loop_runs = False


class Connection:
    """A connection that mends itself. `opened` is called with each new one, to subscribe."""

    def __init__(
        self, uri: str, *, opened: Callable[[Any], None] = lambda _: None, patience_s: float = 15
    ) -> None:
        self._uri = uri
        self._opened = opened
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._connection: Any = None
        self._closed_for_good = False
        self._problem: str | None = None

    def get(self) -> Any:
        """A connection that was alive a moment ago; waits a little for a libvirtd that restarts.

        Raises: HypervisorError.
        """
        deadline = time.monotonic() + self._patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                with self._lock:
                    return self._connection or self._open()
            except libvirt.libvirtError as refused:
                self._problem = f"libvirt does not answer at {self._uri}: {refused}"
                if self._closed_for_good or time.monotonic() >= deadline:
                    raise HypervisorError(reason=self._problem) from refused
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def problem(self) -> str | None:
        """Why there is no connection; None when there is, or nobody needed one yet."""
        return self._problem

    def close(self) -> None:
        """Close it. Again: nothing."""
        self._closed_for_good = True
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.unregisterCloseCallback()
                connection.close()

    def _open(self) -> Any:
        _run_event_loop()
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
        connection.registerCloseCallback(self._lost, None)
        self._opened(connection)
        self._connection, self._problem = connection, None
        LOG.info("Connected to libvirt at %s", self._uri)
        return connection

    def _lost(self, connection: Any, reason: int, _: Any) -> None:
        # On the event loop's thread: no libvirt call here, and no waiting for `get`, which may
        # hold the lock while it waits for this thread.
        if self._connection is connection or self._connection is not None:
            LOG.warning("The connection to libvirt was lost (reason %d)", reason)
        self._connection = None
        self._problem = "the connection to libvirt was lost"


@contextlib.contextmanager
def another(connection: Any) -> Iterator[Any]:
    """One more to the same libvirt, for streams. Raises: libvirtError."""
    own = libvirt.open(connection.getURI())
    try:
        own.setKeepAlive(_KEEPALIVE_S, _KEEPALIVE_COUNT)
        yield own
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            own.close()


@contextlib.contextmanager
def libvirt_speaks(instance_uuid: str = "", host: str = "") -> Iterator[None]:
    """Turn libvirt's errors into ours: DomainNotFound, or HypervisorError with what it said."""
    try:
        yield
    except libvirt.libvirtError as failed:
        if failed.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            raise DomainNotFound(instance=instance_uuid, host=host) from failed
        raise HypervisorError(reason=str(failed)) from failed


def _run_event_loop() -> None:
    """Start libvirt's event loop, once a process and before the first connection."""
    global _loop_runs  # noqa: PLW0603 - libvirt's loop itself is global
    with _loop_lock:
        if _loop_runs:
            return
        # libvirt writes errors to stderr otherwise, beside raising them.
        libvirt.registerErrorHandler(lambda *_: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, name="libvirt-events", daemon=True).start()
        _loop_runs = True


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            LOG.exception("libvirt's event loop failed")
            time.sleep(1)

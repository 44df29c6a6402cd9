# SPDX-License-Identifier: Apache-2.0
"""Deltas: tells the schedulers which hosts changed, soon after the change was committed.

Changes within a short window share a message. Messages of one conductor are numbered: a scheduler
that misses one asks for the baseline. A host's generation grows with each change of it, so the
order in which messages of several conductors arrive does not matter.
"""

import logging
import threading
from collections.abc import Iterable

from common.context import service_context
from common.errors import Unavailable
from common.objects.compute_node import ComputeNode, HostBaseline, HostDelta
from common.rpc.scheduler import Scheduler
from services.conductor.db import compute_nodes, services
from services.conductor.db.engine import Database

LOG = logging.getLogger(__name__)

_RETRY_S = 1.0


class Deltas:
    """Publishes as `publisher`, a name that no other conductor has and no earlier run had."""

    def __init__(
        self,
        database: Database,
        scheduler: Scheduler,
        *,
        publisher: str,
        down_after_s: float,
        window_s: float = 0.02,
    ) -> None:
        self._database = database
        self._scheduler = scheduler
        self._publisher = publisher
        self._down_after_s = down_after_s
        self._window_s = window_s
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._changed: set[str] = set()
        self._removed: dict[str, ComputeNode] = {}
        self._number = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deltas", daemon=True)

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish what is left and end."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        try:
            self.publish()
        except Unavailable as away:
            # A later run of this conductor has another name: schedulers ask for the baseline.
            LOG.warning("Changes of hosts stay unpublished: %s", away)

    def changed(self, node_uuids: Iterable[str]) -> None:
        """These compute nodes are not as they were; call it after the commit."""
        with self._lock:
            self._changed.update(node_uuids)
        self._wake.set()

    def decided(self, node_uuids: Iterable[str]) -> None:
        """As `changed`, for what somebody decided about hosts: told before this returns.

        Who enables a host and boots there next expects it to be found. What cannot be told now
        is told later, as every change.
        """
        self.changed(node_uuids)
        try:
            self.publish()
        except Unavailable as away:
            LOG.warning("Changes of hosts wait: %s", away)

    def removed(self, nodes: Iterable[ComputeNode]) -> None:
        """These compute nodes are gone; call it after the commit."""
        with self._lock:
            self._removed.update((node.report.uuid, node) for node in nodes)
        self._wake.set()

    def publish_transitions(self) -> list[str]:
        """Tell of the hosts that went up or down since any conductor told last; their names.

        They are marked as told once they were: a conductor that dies in between leaves them to
        the next sweep. Raises: Unavailable.
        """
        with self._database.begin() as conn:
            moved = services.unpublished(conn, down_after_s=self._down_after_s)
            uuids = compute_nodes.touch(conn, sorted(moved)) if moved else []
        if not moved:
            return []
        self.changed(uuids)
        self.publish()
        with self._database.begin() as conn:
            services.mark_published(conn, moved)
        for host, is_up in sorted(moved.items()):
            LOG.info("The compute service on %s is %s", host, "up" if is_up else "down")
        return sorted(moved)

    def baseline(self) -> HostBaseline:
        """Every host. A delta that is published meanwhile comes with a later number."""
        with self._sending:
            published = {self._publisher: self._number}
        with self._database.read() as conn:
            hosts = compute_nodes.list_nodes(conn, down_after_s=self._down_after_s)
        return HostBaseline(hosts=tuple(hosts), published=published)

    def publish(self) -> int:
        """Send what has changed now, in one message; how many hosts that were.

        Raises: Unavailable; the changes are kept then.
        """
        with self._sending:
            with self._lock:
                changed, self._changed = self._changed, set()
                removed, self._removed = self._removed, {}
            if not changed and not removed:
                return 0
            try:
                return self._send(changed, removed)
            except Unavailable:
                with self._lock:
                    self._changed |= changed
                    self._removed = removed | self._removed
                raise

    def _send(self, changed: set[str], removed: dict[str, ComputeNode]) -> int:
        deltas = [HostDelta(node=node, removed=True) for node in removed.values()]
        if changed:
            with self._database.read() as conn:
                nodes = compute_nodes.some(conn, sorted(changed), down_after_s=self._down_after_s)
            deltas += [HostDelta(node=node) for node in nodes]
        # Counted before sending: a message that may or may not have left makes a gap, and a gap
        # is repaired, while a number used twice would hide a change.
        self._number += 1
        self._scheduler.apply(service_context(), self._publisher, self._number, deltas)
        return len(deltas)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._stopping.wait(self._window_s)
            self._wake.clear()
            try:
                self.publish()
            except Unavailable as away:
                LOG.warning("Changes of hosts wait: %s", away)
                self._stopping.wait(_RETRY_S)
                self._wake.set()
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("Changes of hosts could not be published")

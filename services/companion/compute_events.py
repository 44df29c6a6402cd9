# SPDX-License-Identifier: Apache-2.0
"""Tells the compute service what happens to its instances' ports and volumes, by its public API.

Events are sent in the background, some at a time. One that cannot be delivered is dropped with a
warning: the compute service looks at its ports now and then by itself, and gives up waiting for a
volume in time.
"""

import logging
import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import requests
from sqlalchemy import select
from sqlalchemy.engine import Connection

from common.clock import Clock
from services.companion.identity import catalog, tokens
from services.companion.store import tables
from services.companion.store.engine import Store

LOG = logging.getLogger(__name__)

Event = dict[str, str]
Send = Callable[[list[Event]], None]
_MOST_KEPT, _MOST_AT_ONCE = 10_000, 200
_GATHER_S = 0.1
_TIMEOUT_S = 10
# With it came the last of the events that are told here, of volumes that were rewritten.
_VERSION = "compute 2.93"
_TOKEN_LIFETIME_S = 600
_SERVICE_USER, _SERVICE_PROJECT = "kilonova", "service"


class ComputeEvents:
    """A queue of events and the thread that sends them. `send` None: nobody is told."""

    def __init__(self, send: Send | None) -> None:
        self._send = send
        self._queue: queue.Queue[Event | None] = queue.Queue(_MOST_KEPT)
        self._thread: threading.Thread | None = None
        if send is not None:
            self._thread = threading.Thread(target=self._run, name="compute-events", daemon=True)
            self._thread.start()

    def tell(self, name: str, server_uuid: str, tag: str) -> None:
        """Tell of `name` at a server; `tag` is the port's or volume's id. Returns at once."""
        if self._send is None:
            return
        event = {"name": name, "server_uuid": server_uuid, "status": "completed", "tag": tag}
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            LOG.warning("Too many events wait for the compute service: %s is dropped", event)

    def stop(self) -> None:
        """Send what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(_TIMEOUT_S)

    def _run(self) -> None:
        assert self._send is not None
        while (first := self._queue.get()) is not None:
            batch = [first]
            try:
                while len(batch) < _MOST_AT_ONCE:
                    another = self._queue.get(timeout=_GATHER_S)
                    if another is None:
                        self._queue.put(None)
                        break
                    batch.append(another)
            except queue.Empty:
                pass
            try:
                self._send(batch)
            except requests.RequestException as away:
                LOG.warning("%d events did not reach the compute service: %s", len(batch), away)
            except Exception:  # the outermost frame of the thread: it must go on
                LOG.exception("%d events were not sent", len(batch))


class ComputeApi:
    """Calls the compute endpoint of the catalogue, with a token of the service user."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._session = requests.Session()
        self._token, self._renew_at = "", clock.now()

    def __call__(self, events: list[Event]) -> None:
        """Post events. Raises: requests.RequestException."""
        with self._store.write() as conn:
            url, token = self._address(conn)
        if url is None:
            return
        answer = self._session.post(
            f"{url.rstrip('/')}/os-server-external-events",
            json={"events": events},
            headers={"X-Auth-Token": token, "OpenStack-API-Version": _VERSION},
            timeout=_TIMEOUT_S,
        )
        answer.raise_for_status()

    def holds(self, server_uuid: str, volume_id: str) -> bool:
        """Whether the compute service says that the server has the volume.

        Raises: requests.RequestException.
        """
        with self._store.write() as conn:
            url, token = self._address(conn)
        if url is None:
            return False
        answer = self._session.get(
            f"{url.rstrip('/')}/servers/{quote(server_uuid, safe='')}/os-volume_attachments/"
            f"{quote(volume_id, safe='')}",
            headers={"X-Auth-Token": token},
            timeout=_TIMEOUT_S,
        )
        if answer.status_code == 404:
            return False
        answer.raise_for_status()
        return True

    def _address(self, conn: Connection) -> tuple[str | None, str]:
        """The compute service's URL (None: the catalogue has none) and a token for it."""
        u, p = tables.users.c, tables.projects.c
        user_id = conn.scalar(select(u.id).where(u.name == _SERVICE_USER))
        project_id = conn.scalar(select(p.id).where(p.name == _SERVICE_PROJECT))
        urls = [
            endpoint["url"]
            for service in catalog.catalog(conn, project_id)
            if service["type"] == "compute"
            for endpoint in service["endpoints"]
        ]
        if user_id is None or project_id is None or not urls:
            return None, ""
        now = self._clock.now()
        if self._token and now < self._renew_at:
            return urls[0], self._token
        self._token, lifetime = tokens.new_token(), timedelta(seconds=_TOKEN_LIFETIME_S)
        self._renew_at = now + lifetime / 2
        tokens.insert_token(
            conn,
            self._token,
            user_id=user_id,
            scope=tokens.Scope("project", project_id),
            methods=["password"],
            now=now,
            expires_at=tokens.stamp(now + lifetime),
        )
        return urls[0], self._token

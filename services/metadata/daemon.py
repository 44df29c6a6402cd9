# SPDX-License-Identifier: Apache-2.0
"""kilonova-metadata: wiring."""

import json
import logging
import random
import sys
from pathlib import Path
from typing import Any

from oslo_config import cfg

from common import config, wsgi
from common.clock import SystemClock
from common.daemon import HealthServer
from common.errors import Invalid
from common.guest_metadata.openstack_tree import TreeSettings
from common.observability import log
from common.presence import Presence
from common.rpc.conductor.metadata import Metadata
from common.rpc.transport import Bus
from services.metadata.app import MetadataService
from services.metadata.asker import BySignedHeaders, BySourceAddress, Identifies
from services.metadata.guests import Guests

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-metadata"
# Guests are on the same network segment: a request that takes longer is no honest one.
_RECEIVE_TIMEOUT_S = 2


class MetadataDaemon:
    """What lives in a worker: the bus, the daemon's presence on it, and the application."""

    def __init__(self, conf: cfg.ConfigOpts, identifies: Identifies, settings: TreeSettings):
        options, clock = conf.metadata, SystemClock()
        self._bus = Bus(conf)
        self._guests = Guests(Metadata.client(self._bus), cache_s=options.cache_s, clock=clock)
        self._presence = Presence(
            self._bus,
            binary=_PROGRAM,
            host=conf.host,
            heartbeat_interval_s=conf.heartbeat_interval_s,
            health=self.health,
            rng=random.Random(),
        )
        self._service = MetadataService(
            identifies, self._guests, settings, lambda: clock.now().date(), self.health
        )
        self._health_address = (options.health_host, options.health_port)
        self._health_server: HealthServer | None = None

    def start(self) -> wsgi.Served:
        """Begin to register and to say how it is; guests are served by the application."""
        self._presence.start()
        if self._health_address[1]:
            self._health_server = HealthServer(self._health_address, self.health)
        return wsgi.Served(self._service.app(), self.stop)

    def stop(self) -> None:
        """Leave the bus."""
        if self._health_server:
            self._health_server.stop()
        self._presence.stop()
        self._bus.close()

    def health(self) -> dict[str, str]:
        """Without a conductor there is nothing to tell a guest."""
        if not self._presence.registered:
            return {"conductor": "has not answered yet"}
        return {"conductor": "does not answer"} if self._guests.is_away else {}


def identification(conf: cfg.ConfigOpts) -> Identifies:
    """How guests are told apart. Raises: Invalid (behind a proxy without a secret)."""
    if not conf.metadata.behind_proxy:
        return BySourceAddress()
    if not conf.metadata.proxy_shared_secret:
        raise Invalid("[metadata] behind_proxy needs proxy_shared_secret, the proxy's own secret")
    return BySignedHeaders(conf.metadata.proxy_shared_secret)


def vendor_data(path: str) -> dict[str, Any]:
    """The object in the vendor data file; empty without one. Raises: Invalid."""
    if not path:
        return {}
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as wrong:
        raise Invalid(f"[metadata] vendor_data_file {path}: {wrong}") from wrong
    if not isinstance(content, dict):
        raise Invalid(f"[metadata] vendor_data_file {path}: not a JSON object")
    return content


def main() -> int:
    """The console script; serves until it is told to stop."""
    conf = config.load(_PROGRAM, sys.argv[1:], ["metadata"])
    log.setup(conf, _PROGRAM)
    options = conf.metadata
    try:
        identifies = identification(conf)
        settings = TreeSettings(
            dhcp_domain=options.dhcp_domain, vendor_data=vendor_data(options.vendor_data_file)
        )
    except Invalid as wrong:
        LOG.error("%s", wrong)
        return 1
    wsgi.serve(
        wsgi.ServeOptions(
            name=_PROGRAM,
            host=options.host,
            port=options.port,
            threads=options.threads,
            graceful_timeout_s=conf.stop_grace_s,
            network_namespace=options.network_namespace,
            receive_timeout_s=_RECEIVE_TIMEOUT_S,
        ),
        lambda: MetadataDaemon(conf, identifies, settings).start(),
    )
    return 0

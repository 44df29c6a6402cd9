# SPDX-License-Identifier: Apache-2.0
"""What lives in a worker of kilonova-metadata: the bus, presence on it, and the application."""

import random
from dataclasses import replace

from oslo_config import cfg

from common import wsgi
from common.clock import SystemClock
from common.daemon import HealthServer
from common.guest_metadata.openstack_tree import TreeSettings
from common.presence import Presence
from common.rpc.conductor.metadata import Metadata
from common.rpc.transport import Bus
from services.metadata.app import MetadataService
from services.metadata.asker import Identifies
from services.metadata.guests import Guests


class Worker:
    """Connections of one worker, made after the fork."""

    def __init__(self, conf: cfg.ConfigOpts, identifies: Identifies, settings: TreeSettings):
        options, clock = conf.metadata, SystemClock()
        self._bus = Bus(conf)
        self._guests = Guests(Metadata.client(self._bus), cache_s=options.cache_s, clock=clock)
        self._presence = Presence(
            self._bus,
            binary="kilonova-metadata",
            host=conf.host,
            heartbeat_interval_s=conf.heartbeat_interval_s,
            health=self.health,
            prepare=self._guests.prepare,
            rng=random.Random(),
        )
        if options.vendor_data_targets:
            # Imported only here: those who ask nobody do without what it takes.
            from common.guest_metadata import vendor_services

            asking = vendor_services.dynamic(conf, clock, cache_s=options.cache_s)
            settings = replace(settings, dynamic=asking)
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
        return wsgi.Served(self._service.app(), self.stop, self._service.at_once)

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

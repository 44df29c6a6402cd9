# SPDX-License-Identifier: Apache-2.0
"""kilonova-api: wiring.

The process that gunicorn forks from stays small: what a worker needs is imported in the worker.
"""

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from oslo_config import cfg

from common import config
from common.errors import Invalid
from common.observability import log
from common.wsgi import Served, ServeOptions, serve

if TYPE_CHECKING:
    from common.clock import Clock
    from common.presence import Presence
    from common.rpc.transport import Bus
    from services.api.app import AppOptions
    from services.api.console_urls import ConsoleUrls
    from services.api.routes import Parts

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-api"


def make(conf: cfg.ConfigOpts) -> Served:
    """The application of one worker, with its own connections."""
    from common.clock import SystemClock
    from common.policy import Policy
    from common.rpc.transport import Bus
    from services.api.app import behind, make_app
    from services.api.auth import TokenFilter
    from services.api.readiness import Readiness

    bus, clock = Bus(conf), SystemClock()
    parts = _parts(conf, bus, clock)
    readiness = Readiness(parts.hosts, clock)
    app_options = _app_options(conf)
    app = make_app(parts, Policy(conf), app_options, readiness.problems)
    presence = _present(conf, bus, readiness.problems)

    def stop() -> None:
        presence.stop()
        bus.close()

    return Served(behind(TokenFilter(app, conf, clock), app, app_options), stop)


def _parts(conf: cfg.ConfigOpts, bus: "Bus", clock: "Clock") -> "Parts":
    """Conductor and neighbours, as handlers ask them."""
    from common.clients.identity import IdentityClient
    from common.clients.image import UserImageClient
    from common.clients.network import UserNetworkClient
    from common.clients.session import ServiceSession
    from common.clients.share import UserShareClient
    from common.clients.volume import UserVolumeClient
    from common.rpc.conductor.aggregates import Aggregates
    from common.rpc.conductor.catalog import Catalog
    from common.rpc.conductor.consoles import Consoles
    from common.rpc.conductor.external_events import ExternalEvents
    from common.rpc.conductor.guest import Guest
    from common.rpc.conductor.host_power import HostPower
    from common.rpc.conductor.hosts import Hosts
    from common.rpc.conductor.idempotency import Idempotency
    from common.rpc.conductor.interfaces import Interfaces
    from common.rpc.conductor.moves import Moves
    from common.rpc.conductor.power import Power
    from common.rpc.conductor.quotas import Quotas
    from common.rpc.conductor.repair import Repair
    from common.rpc.conductor.server_groups import ServerGroups
    from common.rpc.conductor.servers import Servers
    from common.rpc.conductor.shares import Shares
    from common.rpc.conductor.shelving import Shelving
    from common.rpc.conductor.snapshots import Snapshots
    from common.rpc.conductor.state import State
    from common.rpc.conductor.tasks import Tasks
    from common.rpc.conductor.usage import Usage
    from common.rpc.conductor.volumes import Volumes
    from services.api.lookups import Lookups
    from services.api.routes import Parts

    config.add(conf, ["service_user"])
    session = ServiceSession(conf)
    networks = UserNetworkClient(session)
    images = UserImageClient(session, cache_s=conf.api.image_cache_s, clock=clock)
    return Parts(
        servers=Servers.client(bus),
        power=Power.client(bus),
        guest=Guest.client(bus),
        interfaces=Interfaces.client(bus),
        external_events=ExternalEvents.client(bus),
        state=State.client(bus),
        repair=Repair.client(bus),
        snapshots=Snapshots.client(bus),
        shelving=Shelving.client(bus),
        moves=Moves.client(bus),
        consoles=Consoles.client(bus),
        catalog=Catalog.client(bus),
        hosts=Hosts.client(bus),
        host_power=HostPower.client(bus),
        aggregates=Aggregates.client(bus),
        server_groups=ServerGroups.client(bus),
        quotas=Quotas.client(bus),
        usage=Usage.client(bus),
        volumes=Volumes.client(bus),
        shares=Shares.client(bus),
        tasks=Tasks.client(bus),
        idempotency=Idempotency.client(bus),
        lookups=Lookups(images, networks),
        images=images,
        networks=networks,
        volume_service=UserVolumeClient(session),
        share_service=UserShareClient(session),
        identity=IdentityClient(session),
        console_urls=_console_urls(conf),
        show_password=conf.api.enable_instance_password,
        max_limit=conf.api.max_limit,
    )


def _present(conf: cfg.ConfigOpts, bus: "Bus", health: Callable[[], dict[str, str]]) -> "Presence":
    """What tells the conductor that this process is there, under way."""
    import random

    from common.presence import Presence

    presence = Presence(
        bus,
        binary=_PROGRAM,
        host=conf.host,
        heartbeat_interval_s=conf.heartbeat_interval_s,
        health=health,
        rng=random.Random(),
    )
    presence.start()
    return presence


def _app_options(conf: cfg.ConfigOpts) -> "AppOptions":
    from services.api.app import AppOptions
    from services.api.rate_limit import limits_of

    options = conf.api
    project_limit, address_limit = limits_of(conf.rate_limit)
    return AppOptions(
        max_limit=options.max_limit,
        max_body_bytes=options.max_body_bytes,
        link_prefix=options.compute_link_prefix,
        trust_forwarded=options.trust_forwarded_headers,
        project_limit=project_limit,
        address_limit=address_limit,
    )


def _console_urls(conf: cfg.ConfigOpts) -> "ConsoleUrls":
    from services.api.console_urls import ConsoleUrls

    return ConsoleUrls(
        novnc=conf.vnc.novncproxy_base_url,
        spice_html5=conf.spice.html5proxy_base_url,
        spice_direct=conf.spice.spice_direct_proxy_base_url,
        serial=conf.serial_console.base_url,
    )


def main() -> int:
    """The console script."""
    groups = ["api", "rate_limit", "vnc", "spice", "serial_console"]
    conf = config.load(_PROGRAM, sys.argv[1:], groups)
    log.setup(conf, _PROGRAM)
    if conf.rate_limit.per_project or conf.rate_limit.per_address:
        from services.api.rate_limit import limits_of

        try:
            limits_of(conf.rate_limit)
        except Invalid as wrong:
            LOG.error("%s", wrong)
            return 1
    options = conf.api
    serve(
        ServeOptions(
            name=_PROGRAM,
            host=options.host,
            port=options.port,
            workers=options.workers,
            threads=options.threads,
            graceful_timeout_s=conf.stop_grace_s,
        ),
        lambda: make(conf),
    )
    return 0

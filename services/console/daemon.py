# SPDX-License-Identifier: Apache-2.0
"""kilonova-console: wiring."""

import dataclasses
import logging
import random
import sys
from urllib.parse import urlsplit

from oslo_config import cfg

from common import config, daemon
from common.clock import SystemClock
from common.errors import Invalid
from common.objects.console import ConsoleType
from common.observability import log
from common.presence import Presence
from common.rpc.conductor.consoles import Consoles
from common.rpc.transport import Bus
from services.console import files, tls
from services.console.connector import Connector
from services.console.door import Door, Place, Rules
from services.console.origins import Origins
from services.console.screens import Protection
from services.console.server import Crowd, Doors, quieten
from services.console.sessions import Sessions
from services.console.tickets import Tickets

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-console"
# Beside consoles, browsers that load their pages, and clients that have not said what they want.
_PAGES_TOO = 2
_MORE = 256


class ConsoleDaemon:
    """The daemon's life, for `common.daemon.run`."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        options = conf.console
        self._bus = Bus(conf)
        self._tickets = Tickets(Consoles.client(self._bus), SystemClock())
        self._connector = Connector(options.network_namespace)
        sessions = Sessions(options.max_connections)
        rules = Rules(options.idle_timeout_s, conf.consoleauth.enforce_session_timeout)
        doors = [
            Door(
                place,
                Origins(options.allowed_origins, _is_secure(base_url)),
                rules,
                tickets=self._tickets,
                connector=self._connector,
                sessions=sessions,
            )
            for place, base_url in places(conf)
        ]
        context = tls.context(
            options.cert, options.key, options.ssl_minimum_version, options.ssl_ciphers
        )
        crowd = Crowd(_PAGES_TOO * options.max_connections + _MORE)
        self._doors = Doors(doors, context, crowd)
        self._presence = Presence(
            self._bus,
            binary=_PROGRAM,
            host=conf.host,
            heartbeat_interval_s=conf.heartbeat_interval_s,
            health=self.health,
            details=lambda: {"open": sessions.count},
            rng=random.Random(),
        )

    def start(self) -> None:
        """Listen, then say so. Raises: OSError."""
        self._connector.start()
        self._doors.start()
        self._presence.start()

    def stop(self) -> None:
        """Close every console; clients ask for a new URL and come to another daemon, or later."""
        self._presence.stop()
        self._doors.stop()
        self._tickets.close()
        self._connector.close()
        self._bus.close()

    def health(self) -> dict[str, str]:
        """Without a conductor no token can be checked."""
        if not self._presence.registered:
            return {"conductor": "has not answered yet"}
        return {"conductor": "does not answer"} if self._tickets.is_away else {}


def places(conf: cfg.ConfigOpts) -> list[tuple[Place, str]]:
    """The doors that are enabled, each with its base URL. Raises: Invalid."""
    vnc, spice, serial = conf.vnc, conf.spice, conf.serial_console
    found = []
    if vnc.enabled:
        place = _with_pages(
            ConsoleType.NOVNC, vnc.novncproxy_host, vnc.novncproxy_port, vnc.novnc_path
        )
        place = dataclasses.replace(place, protection=protection(vnc))
        found.append((place, vnc.novncproxy_base_url))
    if spice.enabled:
        place = _with_pages(
            ConsoleType.SPICE_HTML5, spice.html5proxy_host, spice.html5proxy_port, spice.html5_path
        )
        found.append((place, spice.html5proxy_base_url))
    if serial.enabled:
        place = Place(ConsoleType.SERIAL, serial.serialproxy_host, serial.serialproxy_port)
        found.append((place, serial.base_url))
    return found


def protection(vnc: cfg.ConfigOpts) -> Protection | None:
    """What the screens of guests must have; None when nothing. Raises: Invalid."""
    schemes = frozenset(vnc.auth_schemes)
    if "vencrypt" not in schemes:
        return None
    return Protection(
        schemes,
        tls.to_screens(vnc.vencrypt_ca_certs, vnc.vencrypt_client_cert, vnc.vencrypt_client_key),
    )


def _with_pages(console_type: ConsoleType, host: str, port: int, folder: str) -> Place:
    pages = files.read(folder)
    if not pages.by_path:
        LOG.warning("There are no pages for %s consoles in %s", console_type, folder)
    return Place(console_type, host, port, files=pages)


def _is_secure(base_url: str) -> bool:
    return urlsplit(base_url).scheme in ("https", "wss")


def main() -> int:
    """The console script."""
    groups = ["console", "consoleauth", "vnc", "spice", "serial_console"]
    conf = config.load(_PROGRAM, sys.argv[1:], groups)
    log.setup(conf, _PROGRAM)
    quieten()
    try:
        made = ConsoleDaemon(conf)
    except Invalid as wrong:
        LOG.error("%s", wrong)
        return 1
    health = (conf.console.health_host, conf.console.health_port)
    return daemon.run(_PROGRAM, made, health_address=health if health[1] else None)

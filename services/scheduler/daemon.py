# SPDX-License-Identifier: Apache-2.0
"""kilonova-scheduler: wiring."""

import logging
import random
import sys

from oslo_config import cfg

from common import config, daemon
from common.clock import SystemClock
from common.context import service_context
from common.errors import Invalid
from common.objects.compute_node import HostBaseline
from common.observability import log
from common.presence import Presence
from common.rpc.conductor.hosts import Hosts
from common.rpc.scheduler import Scheduler
from common.rpc.transport import Bus
from services.scheduler.baseline import BaselineFetcher, Picture
from services.scheduler.endpoint import SchedulerEndpoint
from services.scheduler.filters.registry import filters_named
from services.scheduler.select import Chooser
from services.scheduler.weighers.registry import weighers

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-scheduler"
_BINARY = "nova-scheduler"  # the name that clients know
_THREADS = 4  # choosing is arithmetic under one lock: more threads would only wait
# Part of every list of filters: without it a failed build would be tried on the same host again.
_ALWAYS = ("ExcludedHostFilter",)


class SchedulerDaemon:
    """A scheduler's life, for `common.daemon.run`."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._picture = Picture()
        self._bus = Bus(conf)
        hosts = Hosts.client(self._bus)
        rng = random.Random()
        self._fetcher = BaselineFetcher(self._picture, lambda: self._fetch_baseline(hosts), rng)
        self._server = self._bus.serve(
            Scheduler.topic,
            conf.host,
            [SchedulerEndpoint(self._picture, make_chooser(conf, rng))],
            threads=_THREADS,
        )
        self._presence = Presence(
            self._bus,
            binary=_BINARY,
            host=conf.host,
            heartbeat_interval_s=conf.heartbeat_interval_s,
            health=self.health,
            details=lambda: {"hosts": self._picture.size},
            rng=rng,
        )

    def start(self) -> None:
        """Listen first, then fetch: no delta can fall between baseline and subscription."""
        self._server.start()
        self._fetcher.start()
        self._presence.start()

    def stop(self) -> None:
        """Finish what is being chosen and leave the bus."""
        self._presence.stop()
        self._fetcher.stop()
        self._bus.close()

    def _fetch_baseline(self, hosts: Hosts) -> HostBaseline:
        # A message to a conductor that has no queue yet is lost, and a baseline may take long to
        # answer: registering first finds out quickly whether anybody is there.
        self._presence.wait_until_registered()
        return hosts.baseline(service_context())

    def health(self) -> dict[str, str]:
        """A scheduler without a picture of the hosts cannot serve."""
        return {} if self._picture.has_baseline else {"baseline": "no picture of the hosts yet"}


def make_chooser(conf: cfg.ConfigOpts, rng: random.Random) -> Chooser:
    """The chooser that `[scheduler]` describes. Raises: Invalid (unknown filter)."""
    options = conf.scheduler
    multipliers = {
        "ram": options.ram_weight_multiplier,
        "cpu": options.cpu_weight_multiplier,
        "disk": options.disk_weight_multiplier,
        "build_failure": options.build_failure_weight_multiplier,
        "soft_affinity": options.soft_affinity_weight_multiplier,
        "soft_anti_affinity": options.soft_anti_affinity_weight_multiplier,
    }
    return Chooser(
        filters_named([*options.enabled_filters, *_ALWAYS]),
        weighers(multipliers),
        alternates=options.alternates,
        host_subset_size=options.host_subset_size,
        clock=SystemClock(),
        rng=rng,
    )


def main() -> int:
    """The console script."""
    conf = config.load(_PROGRAM, sys.argv[1:], ["scheduler"])
    log.setup(conf, _PROGRAM)
    try:
        scheduler = SchedulerDaemon(conf)
    except Invalid as wrong:
        LOG.error("%s", wrong)
        return 1
    health = (conf.scheduler.health_host, conf.scheduler.health_port)
    return daemon.run(_PROGRAM, scheduler, health_address=health if health[1] else None)

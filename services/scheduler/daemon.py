# SPDX-License-Identifier: Apache-2.0
"""kilonova-scheduler: wiring."""

import logging
import random
import sys
from collections.abc import Callable

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
from services.scheduler.host_table import HostTable
from services.scheduler.select import Chooser
from services.scheduler.settings import Settings
from services.scheduler.sightings import Sightings
from services.scheduler.weighers.registry import weighers

LOG = logging.getLogger(__name__)

_PROGRAM = "kilonova-scheduler"
_BINARY = "nova-scheduler"  # the name that clients know
_THREADS = 4  # choosing is arithmetic under one lock: more threads would only wait
_IO_OPS_EVERY_S, _IMAGES_EVERY_S = 1.0, 60.0
WEIGHERS = (
    "ram", "cpu", "disk", "io_ops", "num_instances", "hypervisor_version", "image_props",
    "build_failure", "soft_affinity", "soft_anti_affinity",
)  # fmt: skip
# Part of every list of filters: without them a failed build would be tried on the same host again,
# and a guest sent alive to where it cannot run, or where what it requires is not.
_ALWAYS = (
    "ExcludedHostFilter", "CompatibleHypervisorFilter", "TraitsFilter", "DedicatedCpusFilter",
)  # fmt: skip


class SchedulerDaemon:
    """A scheduler's life, for `common.daemon.run`."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._picture = Picture()
        self._bus = Bus(conf)
        hosts = Hosts.client(self._bus)
        rng = random.Random()
        self._fetcher = BaselineFetcher(self._picture, lambda: self._fetch_baseline(hosts), rng)
        self._sightings = [
            Sightings(
                "operations", self._picture, lambda: _io_ops(hosts),
                interval_s=_IO_OPS_EVERY_S, rng=rng,
            )
        ]  # fmt: skip
        if conf.scheduler.image_props_weight_multiplier:
            names = list(image_weights(conf))
            self._sightings.append(
                Sightings(
                    "images", self._picture, lambda: _images(hosts, names),
                    interval_s=_IMAGES_EVERY_S, rng=rng,
                )
            )  # fmt: skip
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
        for each in self._sightings:
            each.start()
        self._presence.start()

    def stop(self) -> None:
        """Finish what is being chosen and leave the bus."""
        self._presence.stop()
        self._fetcher.stop()
        for each in self._sightings:
            each.stop()
        self._bus.close()

    def _fetch_baseline(self, hosts: Hosts) -> HostBaseline:
        # A message to a conductor that has no queue yet is lost, and a baseline may take long to
        # answer: registering first finds out quickly whether anybody is there.
        self._presence.wait_until_registered()
        return hosts.baseline(service_context())

    def health(self) -> dict[str, str]:
        """A scheduler without a picture of the hosts cannot serve."""
        return {} if self._picture.has_baseline else {"baseline": "no picture of the hosts yet"}


def _io_ops(hosts: Hosts) -> Callable[[HostTable], None]:
    seen = hosts.io_ops(service_context())
    return lambda table: table.see_io_ops(seen)


def _images(hosts: Hosts, properties: list[str]) -> Callable[[HostTable], None]:
    seen = hosts.image_counts(service_context(), properties)
    return lambda table: table.see_images(seen)


def make_chooser(conf: cfg.ConfigOpts, rng: random.Random) -> Chooser:
    """The chooser that `[scheduler]` describes. Raises: Invalid (unknown filter; a setting)."""
    options = conf.scheduler
    multipliers = {name: options[f"{name}_weight_multiplier"] for name in WEIGHERS}
    settings = settings_of(conf)
    return Chooser(
        filters_named([*options.enabled_filters, *_ALWAYS], settings),
        weighers(multipliers, settings),
        alternates=options.alternates,
        host_subset_size=options.host_subset_size,
        clock=SystemClock(),
        rng=rng,
    )


def settings_of(conf: cfg.ConfigOpts) -> Settings:
    """What `[scheduler]` says to single filters and weighers. Raises: Invalid."""
    options = conf.scheduler
    return Settings(
        max_io_ops=options.max_io_ops_per_host,
        max_instances=options.max_instances_per_host,
        isolated_images=frozenset(options.isolated_images),
        isolated_hosts=frozenset(options.isolated_hosts),
        isolated_hosts_for_isolated_images_only=options.restrict_isolated_hosts_to_isolated_images,
        image_isolation_namespace=options.aggregate_image_properties_isolation_namespace,
        image_isolation_separator=options.aggregate_image_properties_isolation_separator,
        image_weights=image_weights(conf),
    )


def image_weights(conf: cfg.ConfigOpts) -> dict[str, float]:
    """What each image property counts: `name=number` pairs. Raises: Invalid."""
    weights = {}
    for pair in conf.scheduler.image_props_weight_setting:
        name, _, number = pair.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError as broken:
            raise Invalid(
                f"[scheduler] image_props_weight_setting: {pair} is not a name and a number"
            ) from broken
    return weights


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

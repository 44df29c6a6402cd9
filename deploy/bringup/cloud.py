# SPDX-License-Identifier: Apache-2.0
"""One cloud as a whole: its settings, backends, daemons, and what runs them."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.bringup import settings
from deploy.bringup.configuration import Backends, Configuration
from deploy.bringup.daemons import Daemons
from deploy.bringup.failures import Failed, last_lines
from deploy.bringup.libvirt import Libvirt
from deploy.bringup.paths import Paths
from deploy.bringup.postgresql import PostgreSql
from deploy.bringup.program import Program
from deploy.bringup.rabbitmq import RabbitMq
from deploy.bringup.runner import Runner, choose
from deploy.bringup.settings import EXTERNAL_CIDR, Settings
from deploy.bringup.uplink import Uplink

_GIVES_UP_AFTER_EXITS = 4


class Cloud:
    """The parts, made from settings; nothing is started or written by making them."""

    def __init__(self, paths: Paths, chosen: Settings, secrets: dict[str, str]) -> None:
        self.paths, self.settings, self.passwords = paths, chosen, secrets
        ports = chosen.ports
        self.runner: Runner = choose(paths)
        self.postgresql = PostgreSql(paths, ports["postgresql"])
        self.rabbitmq = RabbitMq(
            paths,
            port=ports["rabbitmq"],
            dist_port=ports["rabbitmq-dist"],
            epmd_port=ports["rabbitmq-epmd"],
        )
        self.libvirt = Libvirt(paths, chosen.namespace)
        self.uplink = Uplink(paths, chosen.namespace, reached=[EXTERNAL_CIDR])
        self.configuration = Configuration(paths, chosen, secrets)
        self.daemons = Daemons(paths, chosen, self.configuration)
        self._restarts_before: dict[str, int] = {}

    @classmethod
    def known(cls, paths: Paths) -> "Cloud":
        """The cloud of the last `up`, without its passwords. Raises: Failed when there is none."""
        chosen = settings.load(settings_file(paths))
        if chosen is None:
            raise Failed(f"There is no cloud in {paths.state}: deploy/up makes one.")
        return cls(paths, chosen, {})

    def user_of(self, daemon: str) -> str:
        """The user whom a daemon runs as; empty: root."""
        return self.runner.user(needs_root=self.daemons.needs_root(daemon))

    def backends(self) -> Backends:
        """The URLs of what the daemons stand on."""
        return Backends(
            database_url=self.postgresql.url(self.passwords["database"]),
            transport_url=self.rabbitmq.url(self.passwords["broker"]),
            libvirt_uri=self.libvirt.uri,
            containers_uri=self.libvirt.containers_uri,
        )

    def backend_health(self) -> dict[str, Callable[[], str]]:
        """How to ask each backend of this cloud how it is."""
        asks = {"postgresql": self.postgresql.health, "rabbitmq": self.rabbitmq.health}
        if self.settings.has_guests:
            asks["libvirt"] = self.libvirt.health
        return asks

    def start(self, programs: Sequence[Program]) -> None:
        """Have programs kept as described, all at once: one that must be restarted stops first."""
        with ThreadPoolExecutor(len(programs)) as pool:
            list(pool.map(self.runner.start, programs))
        for program in programs:
            self._restarts_before[program.name] = self.runner.state(program.name).restarts

    def stop(self, names: Sequence[str]) -> None:
        """Stop programs, all at once; returns when all are gone."""
        if names:
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(self.runner.stop, names))

    def wait(self, program: Program, health: Callable[[], str], *, within_s: float) -> None:
        """Until it can serve. Raises: Failed, with the end of its log, when it cannot."""
        before = self._restarts_before.get(program.name, 0)
        deadline = time.monotonic() + within_s
        while problem := health():
            state = self.runner.state(program.name)
            exits = state.restarts - before
            if exits >= _GIVES_UP_AFTER_EXITS or not state.is_kept:
                why = f"ends again and again (exit code {state.last_exit})"
            elif time.monotonic() > deadline:
                why = f"cannot serve after {within_s:.0f} s: {problem}"
            else:
                time.sleep(0.1)
                continue
            log = Path(program.log)
            raise Failed(f"{program.name} {why}. The end of {log}:\n{last_lines(log)}")


def settings_file(paths: Paths) -> Path:
    """Where the settings are."""
    return paths.state / "settings.json"


def passwords_file(paths: Paths) -> Path:
    """Where the passwords are."""
    return paths.state / "passwords.json"

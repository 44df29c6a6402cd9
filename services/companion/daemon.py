# SPDX-License-Identifier: Apache-2.0
"""`kilonova-companion`: serve, or `bootstrap`, or `purge-network`. Wiring only."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from common import config, wsgi
from common.observability import log
from services.companion.app import STORE, make_companion
from services.companion.identity.bootstrap import bootstrap
from services.companion.identity.passwords import Hasher
from services.companion.network.plane import keeper
from services.companion.network.plane.namespace import CommandFailed
from services.companion.settings import (
    Bootstrap,
    Passwords,
    PlaneSettings,
    Settings,
    ShareSettings,
    VolumeSettings,
)
from services.companion.store.engine import Store

NAME = "kilonova-companion"
_GROUPS = ("companion",)
_COMMANDS = ("serve", "bootstrap", "purge-network")


def main() -> int:
    """Entry point of the console script."""
    arguments = sys.argv[1:]
    command = "serve"
    if arguments and arguments[0] in _COMMANDS:
        command, arguments = arguments[0], arguments[1:]
    return run(command, arguments)


def run(command: str, arguments: Sequence[str]) -> int:
    """Do one of the commands; the exit code."""
    conf = config.load(NAME, arguments, _GROUPS)
    log.setup(conf, NAME)
    os.umask(0o022)
    if command == "bootstrap":
        return _bootstrap(conf)
    if command == "purge-network":
        return _purge_network(conf)
    return _serve(conf)


def _serve(conf: cfg.ConfigOpts) -> int:
    settings = settings_of(conf)

    def make() -> wsgi.Served:
        companion = make_companion(settings)
        return wsgi.Served(app=companion.app, stop=companion.stop)

    options = conf.companion
    wsgi.serve(
        wsgi.ServeOptions(
            name=NAME,
            host=str(options.host),
            port=options.port,
            # One process: the data plane is kept by one thread, and SQLite has one writer.
            workers=1,
            threads=options.threads,
            graceful_timeout_s=conf.stop_grace_s,
        ),
        make,
    )
    return 0


def _bootstrap(conf: cfg.ConfigOpts) -> int:
    passwords = {name: _password(conf, name) for name in ("admin", "service", "demo")}
    missing = [name for name, password in passwords.items() if not password]
    if missing:
        for name in missing:
            print(
                f"No password for {name}: set [companion] {name}_password or "
                f"KILONOVA_{name.upper()}_PASSWORD.",
                file=sys.stderr,
            )
        return 1
    options = conf.companion
    root = options.public_url.rstrip("/")
    wanted = Bootstrap(
        passwords=Passwords(**passwords),
        region=options.region,
        endpoints={
            "identity": f"{root}/identity/v3",
            "image": f"{root}/image",
            "network": f"{root}/network",
            "volumev3": f"{root}/volume/v3/$(project_id)s",
            "shared-file-system": f"{root}/share/v2",
            "compute": options.compute_url,
        },
    )
    store = Store(settings_of(conf).data_path / STORE)
    try:
        bootstrap(store, wanted, Hasher(options.password_cost))
    finally:
        store.close()
    return 0


def _password(conf: cfg.ConfigOpts, name: str) -> str:
    configured = getattr(conf.companion, f"{name}_password")
    return str(configured or os.environ.get(f"KILONOVA_{name.upper()}_PASSWORD", ""))


def _purge_network(conf: cfg.ConfigOpts) -> int:
    try:
        removed = keeper.purge(_plane_settings(conf))
    except CommandFailed as failed:
        print(f"Not everything was removed: {failed}", file=sys.stderr)
        return 1
    for what, number in removed.items():
        print(f"{what}: {number} removed")
    return 0


def settings_of(conf: cfg.ConfigOpts) -> Settings:
    """The configuration as plain values."""
    options = conf.companion
    data_path = Path(options.data_path) if options.data_path else None
    return Settings(
        data_path=data_path or Path(conf.state_path) / "companion",
        public_url=options.public_url,
        token_lifetime_s=options.token_lifetime_s,
        password_cost=options.password_cost,
        max_image_bytes=options.max_image_mib << 20,
        network_mtu=options.network_mtu,
        tell_compute=options.tell_compute,
        plugs_ports=options.plugs_ports,
        volumes=_volume_settings(conf),
        shares=ShareSettings(
            nfs_server=options.nfs_server,
            export_command=tuple(shlex.split(options.export_command)),
            quota_shares=options.quota_shares,
        ),
        plane=_plane_settings(conf) if options.data_plane else None,
    )


def _volume_settings(conf: cfg.ConfigOpts) -> VolumeSettings:
    options = conf.companion
    return VolumeSettings(
        host=conf.host,
        quota_volumes=options.quota_volumes,
        quota_gigabytes=options.quota_gigabytes,
        quota_snapshots=options.quota_snapshots,
        max_volume_gib=options.max_volume_gib,
        default_type=options.default_volume_type,
        workers=options.volume_workers,
    )


def _plane_settings(conf: cfg.ConfigOpts) -> PlaneSettings:
    options = conf.companion
    return PlaneSettings(
        run_path=Path(options.run_path),
        hosts=frozenset(options.plane_hosts or [conf.host]),
        namespace=options.network_namespace,
        metadata_port=options.metadata_port,
        dns_servers=tuple(options.dns_servers),
    )


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The daemons' configuration files, and the credentials files of users.

`kilonova.conf` is read by every daemon; what only one of them may know or needs is in a file of its
own that is read after it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.bringup.paths import Paths, write
from deploy.bringup.settings import Settings
from deploy.bringup.uplink import name_servers

Groups = Mapping[str, Mapping[str, object]]
REGION = "RegionOne"


@dataclass(frozen=True)
class Backends:
    """Where the daemons find what they stand on."""

    database_url: str
    transport_url: str
    libvirt_uri: str
    containers_uri: str


class Configuration:
    """Writes the files of one cloud."""

    def __init__(self, paths: Paths, settings: Settings, passwords: Mapping[str, str]) -> None:
        self._paths, self._settings, self._passwords = paths, settings, passwords
        self._root = f"http://127.0.0.1:{settings.ports['companion']}"

    def endpoints(self) -> dict[str, str]:
        """URL of each service, as the catalogue has it."""
        return {
            "identity": f"{self._root}/identity/v3",
            "image": f"{self._root}/image",
            "network": f"{self._root}/network",
            "volume": f"{self._root}/volume/v3",
            "share": f"{self._root}/share/v2",
            "compute": f"http://127.0.0.1:{self._settings.ports['api']}/v2.1",
        }

    def file(self, name: str) -> Path:
        """One of the configuration files."""
        return self._paths.etc / f"{name}.conf"

    def write(self, backends: Backends) -> list[Path]:
        """Write every file; those that daemons read. Again: unchanged files are not touched."""
        contents = {
            "kilonova": self._common(backends),
            "conductor": self._conductor(backends),
            "companion": self._companion(),
        }
        if self._settings.has_lxc:
            contents["compute-lxc"] = self._lxc(backends)
        if self._settings.has_fake:
            contents["compute-fake"] = self._fake()
        for name, groups in contents.items():
            # each holds a password; the first is for every daemon's group, too
            write(self.file(name), ini(groups), 0o640 if name == "kilonova" else 0o600)
        self._write_credentials()
        return [self.file(name) for name in contents]

    def _common(self, backends: Backends) -> Groups:
        settings, ports = self._settings, self._settings.ports
        credentials: dict[str, object] = {
            "auth_type": "password",
            "auth_url": self.endpoints()["identity"],
            "username": "kilonova",
            "password": self._passwords["service"],
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        groups: dict[str, dict[str, object]] = {
            "DEFAULT": {
                "host": settings.host,
                "state_path": self._paths.state,
                "transport_url": backends.transport_url,
            },
            "keystone_authtoken": {
                "www_authenticate_uri": f"{self._root}/identity",
                "service_token_roles_required": True,
                "service_token_roles": "service",
                **credentials,
            },
            "service_user": {**credentials, "region_name": REGION},
            "api": {"port": ports["api"]},
            "metadata": {"port": ports["metadata"]},
            "conductor": {"health_port": ports["conductor"]},
            "scheduler": {"health_port": ports["scheduler"]},
            "compute": {
                "driver": "libvirt" if settings.has_guests else "fake",
                "health_port": ports["compute"],
            },
            "libvirt": {"connection_uri": backends.libvirt_uri},
            "console": {"health_port": ports["console"]},
            "vnc": {
                "novncproxy_port": ports["console-vnc"],
                "novncproxy_base_url": f"http://127.0.0.1:{ports['console-vnc']}/vnc_lite.html",
            },
            "spice": {
                "enabled": True,
                "html5proxy_port": ports["console-spice"],
                "html5proxy_base_url": f"http://127.0.0.1:{ports['console-spice']}/spice_auto.html",
            },
            "serial_console": {
                "enabled": True,
                "serialproxy_port": ports["console-serial"],
                "base_url": f"ws://127.0.0.1:{ports['console-serial']}/",
            },
        }
        if settings.has_guests:
            # guests reach the service at an address of their network's bridge
            groups["metadata"] |= {
                "host": "0.0.0.0",
                "network_namespace": settings.namespace,
                "health_port": ports["metadata-health"],
            }
            # and their consoles listen there
            groups["console"]["network_namespace"] = settings.namespace
            # there is one host that runs them, of each kind
            groups["conductor"]["allow_resize_to_same_host"] = True
        return groups

    def _conductor(self, backends: Backends) -> Groups:
        return {"database": {"connection": backends.database_url}}

    def _companion(self) -> Groups:
        settings = self._settings
        guests = [driver for driver in settings.drivers if driver != "fake"]
        return {
            "companion": {
                "port": settings.ports["companion"],
                "public_url": self._root,
                "compute_url": self.endpoints()["compute"],
                "region": REGION,
                "run_path": self._paths.run / "companion",
                "data_plane": settings.has_guests,
                "plane_hosts": ",".join(map(settings.host_of, guests)),
                "network_namespace": settings.namespace,
                "metadata_port": settings.ports["metadata"],
                "dns_servers": ",".join(name_servers() if settings.has_uplink else ()),
                **{f"{name}_password": self._passwords[name]
                   for name in ("admin", "demo", "service")},
            }
        }  # fmt: skip

    def _lxc(self, backends: Backends) -> Groups:
        settings = self._settings
        return {
            # two daemons on one folder would clear away each other's files
            "DEFAULT": {"host": settings.host_of("lxc"), "state_path": self._paths.containers},
            "compute": {"health_port": settings.ports[settings.program_of("lxc")]},
            "libvirt": {"virt_type": "lxc", "connection_uri": backends.containers_uri},
        }

    def _fake(self) -> Groups:
        settings = self._settings
        program = settings.program_of("fake")
        return {
            "DEFAULT": {"host": settings.host_of("fake")},
            "compute": {"driver": "fake", "health_port": settings.ports[program]},
            "fake": {
                "hosts": settings.fake_hosts,
                "host_prefix": "fake-",
                "state_file": self._paths.state / "fake" / "guests",
            },
        }

    def _write_credentials(self) -> None:
        clouds = {"kilonova": self.login("demo"), "kilonova-admin": self.login("admin")}
        # JSON is YAML
        text = json.dumps({"clouds": clouds}, indent=2) + "\n"
        write(self._paths.clouds_yaml, text, 0o600)
        write(self._paths.openrc, self._shell("demo"), 0o600)
        write(self._paths.etc / "admin-openrc", self._shell("admin"), 0o600)

    def login(self, user: str) -> dict[str, object]:
        """A user's entry of clouds.yaml; users have a project of their name."""
        return {
            "auth": {
                "auth_url": self.endpoints()["identity"],
                "username": user,
                "password": self._passwords[user],
                "project_name": user,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": REGION,
            "identity_api_version": "3",
        }

    def _shell(self, user: str) -> str:
        variables = {
            "OS_AUTH_URL": self.endpoints()["identity"],
            "OS_USERNAME": user,
            "OS_PASSWORD": self._passwords[user],
            "OS_PROJECT_NAME": user,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
        }
        # OS_CLOUD would go before all of these
        lines = ["unset OS_CLOUD", *(f"export {k}={v}" for k, v in variables.items())]
        return "\n".join(lines) + "\n"


def ini(groups: Groups) -> str:
    """Groups of options as oslo.config reads them."""
    blocks = [
        "\n".join([f"[{group}]", *(f"{name} = {_word(value)}" for name, value in options.items())])
        for group, options in groups.items()
    ]
    return "# Written by deploy/up; it overwrites changes.\n" + "\n\n".join(blocks) + "\n"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # oslo.config replaces $name
    return str(value).replace("$", "$$")

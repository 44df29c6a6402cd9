# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ node of our own, all of its ports on loopback; the system's node is not touched."""

import os
import pwd
import shutil
import socket
from pathlib import Path

from deploy.bringup.paths import Paths, write
from deploy.bringup.program import Program, revision_of

_OWNER = "rabbitmq"
_USER = _VHOST = "kilonova"
_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


class RabbitMq:
    """The node's files and program."""

    def __init__(self, paths: Paths, *, port: int, dist_port: int, epmd_port: int) -> None:
        self._paths, self._port = paths, port
        self._dist_port, self._epmd_port = dist_port, epmd_port
        self._home = paths.state / "rabbitmq"
        self._config = self._home / "rabbitmq.conf"

    def prepare(self, *, password: str, cookie: str) -> None:
        """Write the node's configuration. User and virtual host are made at its first start."""
        self._home.mkdir(mode=0o750, parents=True, exist_ok=True)
        shutil.chown(self._home, _OWNER, _OWNER)
        settings = {
            "listeners.tcp.default": f"127.0.0.1:{self._port}",
            "default_user": _USER,
            "default_pass": password,
            "default_vhost": _VHOST,
            "default_permissions.configure": ".*",
            "default_permissions.read": ".*",
            "default_permissions.write": ".*",
            "log.console": "true",
            "log.console.level": "warning",
            "log.file": "false",
            "disk_free_limit.absolute": "200MB",
        }
        self._own(self._config, "".join(f"{k} = {v}\n" for k, v in settings.items()), 0o600)
        self._own(self._home / "enabled_plugins", "[].\n", 0o644)
        self._own(self._home / ".erlang.cookie", cookie, 0o400)

    def _own(self, path: Path, text: str, mode: int) -> None:
        write(path, text, mode)
        account = pwd.getpwnam(_OWNER)
        if path.stat().st_uid != account.pw_uid:
            os.chown(path, account.pw_uid, account.pw_gid)

    def program(self) -> Program:
        """The node. Its name service is its child here, and ends with it."""
        return Program(
            name="rabbitmq",
            command=(_SERVER,),
            log=str(self._paths.log / "rabbitmq.log"),
            user=_OWNER,
            environment=self._environment(),
            revision=revision_of(self._config),
        )

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self._home),
            "RABBITMQ_NODENAME": f"{self._paths.tag}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self._config),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._home / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self._home / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._home / "log"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            # no busy waiting: the broker shares its cores with everything else
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+sbwt none +sbwtdcpu none +sbwtdio none"
                " -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd_port),
        }

    def health(self) -> str:
        """What is wrong; empty when it speaks AMQP."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=3) as sock:
                sock.sendall(b"AMQP\x00\x00\x09\x01")
                answer = sock.recv(1)
        except OSError as refused:
            return f"does not take connections: {refused}"
        return "" if answer == b"\x01" else "does not speak AMQP"

    def url(self, password: str) -> str:
        """oslo.messaging's transport URL."""
        return f"rabbit://{_USER}:{password}@127.0.0.1:{self._port}/{_VHOST}"

# SPDX-License-Identifier: Apache-2.0
"""Serving a WSGI application with gunicorn (threads), with the life of every daemon.

One worker is the process itself. Several are forked, and the application is made in each after the
fork: connections, transports and clients must not be shared between processes. The listening socket
may live in another network namespace.
"""

import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gunicorn.app.base
import gunicorn.sock
import setproctitle

from common import daemon, memory, network_namespace
from common.plain_requests import AtOnce
from common.wsgi_worker import OnlyWorker, StayingWorker

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """An application in a worker, and what to do when the worker stops.

    `at_once` answers what can be answered without a thread and without waiting.
    """

    app: Callable[..., Any]
    stop: Callable[[], None]
    at_once: AtOnce | None = None


@dataclass(frozen=True)
class ServeOptions:
    """Where and how to serve. `network_namespace` empty: this process's own.

    A client that has begun a request and sends nothing more for `receive_timeout_s` seconds is
    dropped: it may not keep a thread.
    """

    name: str
    host: str
    port: int
    workers: int = 1
    threads: int = 8
    graceful_timeout_s: int = 30
    network_namespace: str = ""
    receive_timeout_s: int = 30


def serve(options: ServeOptions, make: Callable[[], Served]) -> None:
    """Serve until SIGTERM. `make` runs in each worker, after the fork where there are several."""
    setproctitle.setproctitle(options.name)
    memory.limit_arenas()
    listener = _listen(options)
    _expect_clients_to_speak(listener, options.receive_timeout_s)
    # gunicorn takes an inherited socket by its number, and tells the address from it
    listener.set_inheritable(True)
    server = _Server(options, make, listener)
    if options.workers == 1:
        server.run_alone()
    else:
        server.run()


def _listen(options: ServeOptions) -> socket.socket:
    if not options.network_namespace:
        return _bound_socket(options.host, options.port)
    with network_namespace.inside(options.network_namespace):
        return _bound_socket(options.host, options.port)


def _bound_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(1024)
    return sock


def _expect_clients_to_speak(listener: socket.socket, receive_timeout_s: int) -> None:
    """Keep silent clients away from the threads: sockets inherit both options from the listener.

    The kernel hands a connection over once data has come, and lets a read fail with EAGAIN when
    nothing more does.
    """
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, receive_timeout_s)
    timeval = struct.pack("@ll", receive_timeout_s, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    logging.getLogger("gunicorn.error").addFilter(_is_our_business)


def _is_our_business(record: logging.LogRecord) -> bool:
    """gunicorn reports each dropped client with a trace; a client could fill the log with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], BlockingIOError))


class _Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]
    def __init__(
        self, options: ServeOptions, make: Callable[[], Served], listener: socket.socket
    ) -> None:
        self._options, self._make, self._listener = options, make, listener
        self._served: Served | None = None
        super().__init__()

    def load_config(self) -> None:
        options = self._options
        settings = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": options.workers,
            "threads": options.threads,
            "worker_class": StayingWorker,
            "keepalive": 75,
            "timeout": 0,  # threads answer for themselves; a slow request is no dead worker
            "graceful_timeout": options.graceful_timeout_s,
            "proc_name": options.name,
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,
            "accesslog": None,
            "loglevel": "warning",
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "post_worker_init": self._ready,
            "worker_exit": self._stopped,
        }
        for key, value in settings.items():
            if key in self.cfg.settings:
                self.cfg.set(key, value)

    def load(self) -> Callable[..., Any]:
        self._served = self._make()
        return self._served.app

    @property
    def at_once(self) -> AtOnce | None:
        """What the application that was loaded answers at once."""
        return self._served.at_once if self._served else None

    def run_alone(self) -> None:
        """Serve in this very process.

        A process above a single worker would only start it again, which systemd does as well, and
        take 30 MiB for it.
        """
        log = self.cfg.logger_class(self.cfg)
        sockets = gunicorn.sock.create_sockets(self.cfg, log)
        worker = OnlyWorker(1, os.getpid(), sockets, self, self.cfg.timeout, self.cfg, log)
        worker.pid = os.getpid()
        try:
            worker.init_process()
        finally:
            worker.tmp.close()
            self._stopped(None, worker)

    def _ready(self, worker: Any) -> None:
        memory.settle()
        daemon.notify("READY=1")
        LOG.info("%s %s serves", self._options.name, daemon.RELEASE)

    def _stopped(self, server: Any, worker: Any) -> None:
        if self._served is not None:
            self._served.stop()
            LOG.info("%s has stopped", self._options.name)

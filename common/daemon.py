# SPDX-License-Identifier: Apache-2.0
"""The life of a daemon: start, say that it is ready, work, drain, stop. The same for each.

`run` is for daemons that are no HTTP servers; `common/wsgi.py` does the same for those that are.
"""

import json
import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import setproctitle

from common import memory
from common.observability import counters

LOG = logging.getLogger(__name__)

RELEASE = "0.1.0"
_STARTED = time.monotonic()


class Running(Protocol):
    """What a daemon's wiring gives to `run`."""

    def start(self) -> None:
        """Begin to work; returns when the daemon can serve. Raises what makes it give up."""

    def stop(self) -> None:
        """Take no new work, finish what is under way, close connections."""

    def health(self) -> dict[str, str]:
        """What is wrong, by subject; empty when all is well."""


def run(name: str, daemon: Running, *, health_address: tuple[str, int] | None) -> int:
    """Run `daemon` until SIGTERM or SIGINT; the exit code for the process."""
    setproctitle.setproctitle(name)
    memory.limit_arenas()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        daemon.start()
    except Exception:  # the outermost frame: whatever it is, the daemon cannot run
        LOG.exception("%s could not start", name)
        return 1
    health = HealthServer(health_address, daemon.health) if health_address else None
    memory.settle()
    notify("READY=1")
    LOG.info("%s %s is ready", name, RELEASE)
    watch(stopping, daemon.health)
    notify("STOPPING=1")
    LOG.info("%s stops", name)
    daemon.stop()
    if health:
        health.stop()
    LOG.info("%s has stopped", name)
    return 0


def watch(stopping: threading.Event, health: Callable[[], dict[str, str]]) -> None:
    """Wait for `stopping`; feed systemd's watchdog meanwhile, when it has set one."""
    watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    pause_s = watchdog_us / 2_000_000 if watchdog_us else None
    while not stopping.wait(pause_s):
        notify("WATCHDOG=1")
        problems = health()
        if problems:
            notify("STATUS=" + "; ".join(f"{k}: {v}" for k, v in problems.items()))


def notify(message: str) -> None:
    """Tell systemd (sd_notify protocol); nothing happens where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(message.encode(), address)
        except OSError as refused:
            LOG.debug("systemd was not reached: %s", refused)


def memory_mib() -> float:
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * resource.getpagesize() / 2**20


def uptime_s() -> float:
    """Seconds since this process started."""
    return time.monotonic() - _STARTED


def health_document(name: str, problems: dict[str, str]) -> dict[str, Any]:
    """The body of GET /healthz, alike for every daemon."""
    return {
        "name": name,
        "healthy": not problems,
        "problems": problems,
        "release": RELEASE,
        "pid": os.getpid(),
        "uptime_s": round(uptime_s(), 1),
        "memory_mib": round(memory_mib(), 1),
        "counters": counters.values(),
    }


class HealthServer:
    """GET /healthz on a port of its own: 200 when all is well, 503 with what is not."""

    def __init__(self, address: tuple[str, int], health: Callable[[], dict[str, str]]) -> None:
        name = setproctitle.getproctitle()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                problems = health()
                body = json.dumps(health_document(name, problems)).encode()
                known = self.path == "/healthz"
                self.send_response((503 if problems else 200) if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Health is asked every few seconds: no log line for it."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

# SPDX-License-Identifier: Apache-2.0
"""Metadata for many guests at once: `python -m tests.benchmarks.metadata [--guests N]`.

Starts a private PostgreSQL, RabbitMQ, conductor and two metadata daemons: one that tells guests by
their address, one that is told by a proxy's signed headers, whose part the benchmark plays. Each
is asked by all guests in the same moment, first with nothing remembered, then again. The aim is
200 guests with a 99th percentile of 50 ms.
"""

import argparse
import hashlib
import hmac
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from services.conductor.db import revisions
from services.conductor.db.engine import Database
from tests.benchmarks import crowd, processes
from tests.functional.cloud import Cloud
from tests.functional.conductor_half import DaemonProcess, daemon_process
from tests.functional.db.rows import PROJECT, add, make_instance, make_vif
from tests.functional.postgres import Postgres
from tests.functional.rabbitmq import RabbitMq

_SECRET = "between the proxy and us"
_ONE = ("/openstack/latest/meta_data.json",)
# What cloud-init's OpenStack data source gets, in its order.
_ALL = (
    "/openstack", "/openstack/2018-08-27/meta_data.json", "/openstack/2018-08-27/user_data",
    "/openstack/2018-08-27/vendor_data.json", "/openstack/2018-08-27/vendor_data2.json",
    "/openstack/2018-08-27/network_data.json", "/latest/meta-data/",
)  # fmt: skip
Headers = Callable[[int], dict[str, str]]


def main() -> None:
    """Run it once and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=200, help="guests that ask at once")
    options = parser.parse_args()
    broker, database = RabbitMq(), Postgres(durable=True)
    try:
        database.start()
        broker.start()
        url = database.url(database.create())
        uuids = _fill(url, options.guests)
        transport = broker.vhost()
        cloud = Cloud(database_url=url, transport_url=transport)
        try:
            cloud.start("companion", "conductor")
            _measure(cloud, transport, uuids)
        finally:
            cloud.remove()
    finally:
        broker.remove()
        database.remove()


def _fill(url: str, guests: int) -> list[str]:
    """The schema, and an instance for every guest; their uuids."""
    database = Database(url)
    with database.begin() as conn:
        revisions.upgrade(conn)
    made = [
        make_instance(
            hostname=f"guest-{number}", user_data="IyEvYmluL3NoCg==",
            vifs=(make_vif(crowd.loopback(number)),),
        )
        for number in range(guests)
    ]  # fmt: skip
    for instance in made:
        add(database, instance)
    database.close()
    return [instance.uuid for instance in made]


def _measure(cloud: Cloud, transport: str, uuids: Sequence[str]) -> None:
    def signed(number: int) -> dict[str, str]:
        uuid = uuids[number]
        signature = hmac.new(_SECRET.encode(), uuid.encode(), hashlib.sha256).hexdigest()
        return {
            "X-Instance-ID": uuid, "X-Instance-ID-Signature": signature, "X-Tenant-ID": PROJECT,
            "X-Forwarded-For": crowd.loopback(number),
        }  # fmt: skip

    behind = f"behind_proxy = true\nproxy_shared_secret = {_SECRET}\n"
    ways: tuple[tuple[str, str, Headers], ...] = (
        ("by address", "", lambda _: {}), ("by a proxy's headers", behind, signed),
    )  # fmt: skip
    for name, settings, headers in ways:
        with (
            tempfile.TemporaryDirectory() as folder,
            daemon_process("metadata", transport, Path(folder), settings) as daemon,
        ):
            daemon.wait_until_healthy()
            _crowd(cloud, daemon, len(uuids), _ONE, headers, f"{name}, nothing remembered")
            _crowd(cloud, daemon, len(uuids), _ONE, headers, f"{name}, remembered")
            _crowd(cloud, daemon, len(uuids), _ALL, headers, f"{name}, a whole tree, remembered")
            print(f"  memory: {processes.resident_mib(daemon.process.pid):.0f} MiB resident")


def _crowd(
    cloud: Cloud, daemon: DaemonProcess, guests: int, paths: Sequence[str], headers: Headers,
    what: str,
) -> None:  # fmt: skip
    pids = [daemon.process.pid, *cloud.pids("conductor")]
    before = [processes.cpu_s(pid) for pid in pids]
    took = crowd.ask(guests, daemon.port, paths, headers)
    used = [processes.cpu_s(pid) - was for pid, was in zip(pids, before, strict=True)]
    cuts = statistics.quantiles(took, n=100)
    print(
        f"{guests} guests {what}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms; "
        f"CPU per answer: metadata {used[0] / len(took) * 1000:.2f} ms, "
        f"conductor {sum(used[1:]) / len(took) * 1000:.2f} ms"
    )


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of the control plane: `python -m tests.benchmarks.run [--boots N] [--servers N]`.

Starts a private PostgreSQL (durable: it syncs to disk), RabbitMQ and every daemon with the fake
driver, and prints figures. They are noisy on small machines: compare counts and ratios.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from services.conductor.db import revisions
from services.conductor.db.engine import Database
from tests.benchmarks import processes, validation
from tests.functional.cloud import DAEMONS, Cloud
from tests.functional.postgres import Postgres
from tests.functional.rabbitmq import RabbitMq

OURS = ("api", "conductor", "scheduler", "compute", "metadata")
_NEWEST = {"OpenStack-API-Version": "compute 2.90"}


@dataclass(frozen=True)
class Api:
    """The compute API as a client with a kept connection sees it."""

    url: str
    token: str

    def session(self) -> requests.Session:
        """A session of one thread."""
        made = requests.Session()
        made.headers.update({"X-Auth-Token": self.token, **_NEWEST})
        return made


def main() -> None:
    """Run every benchmark once and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boots", type=int, default=200, help="servers to boot at concurrency 8")
    parser.add_argument("--servers", type=int, default=1000, help="servers to list")
    parser.add_argument("--volumes", type=int, default=100, help="servers to give two volumes each")
    options = parser.parse_args()
    validation.measure()
    broker, database = RabbitMq(), Postgres(durable=True)
    try:
        database.start()
        broker.start()
        name = database.create()
        schema = Database(database.url(name))
        with schema.begin() as conn:
            revisions.upgrade(conn)
        schema.close()
        cloud = Cloud(database_url=database.url(name), transport_url=broker.vhost(), hosts=20)
        try:
            _measure(cloud, options.boots, options.servers, options.volumes)
        finally:
            cloud.remove()
    finally:
        broker.remove()
        database.remove()


def _measure(cloud: Cloud, boots: int, servers: int, volumes: int) -> None:
    _start(cloud)
    cloud.seed()
    sdk = cloud.connect("demo")
    api = Api(f"{cloud.compute_url}/v2.1", sdk.auth_token)
    image = next(iter(sdk.image.images())).id
    network = next(iter(sdk.network.networks())).id
    _boot_one_by_one(api, image, "none", 30, "no network")
    _boot_one_by_one(api, image, [{"uuid": network}], 15, "with a port")
    _boot_many(cloud, api, image, boots)
    _read(cloud, api, image, servers)
    _give_volumes(sdk, api, min(volumes, servers))
    label = f"GET /servers/detail of {servers}, {volumes} of them with two volumes"
    _requests(cloud, api, "/servers/detail?limit=1000", label, 10)
    _use_the_whole_api(api)
    _memory(cloud)


def _start(cloud: Cloud) -> None:
    for name in DAEMONS:
        began = time.perf_counter()
        cloud.start(name, wait=name == "companion")
        if name != "companion":
            continue
        print(f"start-up of companion: {time.perf_counter() - began:.2f} s")
    for name in DAEMONS[1:]:
        while not cloud.healthy(name):
            time.sleep(0.02)
    for name in OURS:
        cloud.stop(name)
        began = time.perf_counter()
        cloud.start(name)
        print(f"start-up of {name}: {time.perf_counter() - began:.2f} s")


def _create(session: requests.Session, api: Api, image: str, networks: object, name: str) -> str:
    body = {"server": {"name": name, "flavorRef": "1", "imageRef": image, "networks": networks}}
    answer = session.post(f"{api.url}/servers", json=body)
    answer.raise_for_status()
    return str(answer.json()["server"]["id"])


def _boot_one_by_one(api: Api, image: str, networks: object, count: int, what: str) -> None:
    session, accepted, active, made = api.session(), [], [], []
    for index in range(count):
        began = time.perf_counter()
        server = _create(session, api, image, networks, f"one-{index}")
        accepted.append(time.perf_counter() - began)
        made.append(server)
        while True:
            shown = session.get(f"{api.url}/servers/{server}").json()["server"]
            if shown["status"] != "BUILD":
                break
            time.sleep(0.004)
        active.append(time.perf_counter() - began)
        assert shown["status"] == "ACTIVE", shown.get("fault")
    print(
        f"boot, {what}: POST to 202 p50 {_ms(accepted)} ms, to ACTIVE p50 {_ms(active)} ms "
        f"({count} in a row)"
    )
    _delete(session, api, made)


def _boot_many(cloud: Cloud, api: Api, image: str, count: int) -> None:
    made: list[str] = []

    def client(number: int) -> None:
        session = api.session()
        for index in range(count // 8):
            made.append(_create(session, api, image, "none", f"many-{number}-{index}"))

    before = processes.Usage.of(cloud, OURS)
    began = time.perf_counter()
    _in_threads(8, client)
    _wait_active(api, len(made))
    took_s = time.perf_counter() - began
    used = processes.Usage.of(cloud, OURS) - before
    print(f"boots at concurrency 8: {len(made) / took_s:.1f}/s ({len(made)} in {took_s:.1f} s)")
    print(f"  CPU per boot: {used.per(len(made))}")
    print(f"  per boot: {used.counts_per(len(made))}")
    _delete(api.session(), api, made)


def _read(cloud: Cloud, api: Api, image: str, servers: int) -> None:
    session = api.session()
    first = _create(session, api, image, "none", "read")
    _wait_active(api, 1)
    _requests(cloud, api, f"/servers/{first}", "GET /servers/{id}", 300)
    _requests(cloud, api, "/flavors/detail", "GET /flavors/detail", 300)
    have = 1
    for wanted in (1, 100, servers):
        while have < wanted:
            step = min(50, wanted - have)
            body = {
                "server": {
                    "name": "many", "flavorRef": "1", "imageRef": image, "networks": "none",
                    "min_count": step, "max_count": step,
                }
            }  # fmt: skip
            session.post(f"{api.url}/servers", json=body).raise_for_status()
            have += step
        _wait_active(api, wanted)
        label = f"GET /servers/detail of {wanted}"
        _requests(cloud, api, "/servers/detail?limit=1000", label, max(10, 200 // wanted))


def _give_volumes(sdk: Any, api: Api, count: int) -> None:
    """Two volumes each for `count` servers, and wait until they have them."""
    session = api.session()
    listed = session.get(f"{api.url}/servers?limit={count}").json()["servers"]
    made = [sdk.block_storage.create_volume(size=1).id for _ in range(2 * count)]
    while any(each.status == "creating" for each in sdk.block_storage.volumes()):
        time.sleep(0.1)
    for number, volume in enumerate(made):
        url = f"{api.url}/servers/{listed[number // 2]['id']}/os-volume_attachments"
        answer = session.post(url, json={"volumeAttachment": {"volumeId": volume}})
        assert answer.ok, answer.text
    while any(each.status != "in-use" for each in sdk.block_storage.volumes()):
        time.sleep(0.1)


def _use_the_whole_api(api: Api) -> None:
    """Have every worker import what the API has, and compile what a version declares."""
    session = api.session()
    for _ in range(8):  # one worker of several answers each
        for version in ("2.1", "2.104"):
            path = api.url.removesuffix("/v2.1") + f"/openapi.json?microversion={version}"
            requests.get(path, timeout=60).raise_for_status()
        session.get(f"{api.url}/servers/detail?limit=1000").raise_for_status()


def _requests(cloud: Cloud, api: Api, path: str, label: str, count: int) -> None:
    session, took = api.session(), []
    session.get(api.url + path).raise_for_status()
    before = processes.Usage.of(cloud, OURS)
    for _ in range(count):
        began = time.perf_counter()
        answer = session.get(api.url + path)
        took.append(time.perf_counter() - began)
        answer.raise_for_status()
    used = processes.Usage.of(cloud, OURS) - before
    began = time.perf_counter()
    _in_threads(4, lambda _: _repeat(api, path, count // 4))
    rate = count // 4 * 4 / (time.perf_counter() - began)
    print(
        f"{label}: p50 {_ms(took)} ms, CPU {used.per(count)}; {rate:.0f}/s with 4 clients; "
        f"{used.counts_per(count)}"
    )


def _repeat(api: Api, path: str, count: int) -> None:
    session = api.session()
    for _ in range(count):
        session.get(api.url + path)


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _wait_active(api: Api, count: int) -> None:
    session = api.session()
    while True:
        url = f"{api.url}/servers?status=BUILD&limit=1"
        if not session.get(url).json()["servers"]:
            break
        time.sleep(0.02)
    failed = session.get(f"{api.url}/servers?status=ERROR&limit=1").json()["servers"]
    assert not failed, f"{len(failed)} of {count} servers ended in ERROR"


def _delete(session: requests.Session, api: Api, servers: list[str]) -> None:
    for server in servers:
        session.delete(f"{api.url}/servers/{server}")
    while session.get(f"{api.url}/servers?limit=1").json()["servers"]:
        time.sleep(0.05)


def _memory(cloud: Cloud) -> None:
    total = 0.0
    for name in OURS:
        each = [processes.resident_mib(pid) for pid in cloud.pids(name)]
        total += sum(each)
        shown = " + ".join(f"{resident:.0f}" for resident in each)
        print(f"memory of {name}: {shown} MiB resident, by process")
    print(f"memory of the five daemons: {total:.0f} MiB resident")


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f}"


if __name__ == "__main__":
    main()

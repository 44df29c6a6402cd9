# SPDX-License-Identifier: Apache-2.0
"""When a part is away the API says so in seconds, and recovers by itself when it returns."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.functional.cloud import Cloud, wait_for_status
from tests.functional.rabbitmq import RabbitMq, wait_until

WITHIN_S = 12


@pytest.fixture(scope="module")
def api(cloud: Cloud) -> Callable[..., requests.Response]:
    token = cloud.connect("demo").auth_token
    session = requests.Session()
    session.headers.update({"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.90"})

    def call(method: str, path: str, **options: Any) -> requests.Response:
        url = f"{cloud.compute_url}/v2.1{path}"
        return session.request(method, url, timeout=60, **options)

    return call


@pytest.fixture(scope="module")
def boot(cloud: Cloud, api: Callable[..., requests.Response]) -> Callable[[], requests.Response]:
    image = next(iter(cloud.connect("demo").image.images())).id

    def post() -> requests.Response:
        server = {"name": "s", "flavorRef": "1", "imageRef": image, "networks": "none"}
        return api("POST", "/servers", json={"server": server})

    return post


def assert_unavailable(ask: Callable[[], requests.Response]) -> None:
    started = time.monotonic()
    answer = ask()
    took_s = time.monotonic() - started

    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["serviceUnavailable"]["code"] == 503
    assert answer.json()["serviceUnavailable"]["message"]
    assert took_s < WITHIN_S


@contextmanager
def without(cloud: Cloud, daemon: str) -> Iterator[None]:
    cloud.kill(daemon)
    try:
        yield
    finally:
        cloud.start(daemon)


def test_without_a_conductor(cloud, api):
    with without(cloud, "conductor"):
        assert_unavailable(lambda: api("GET", "/servers"))

    wait_until(lambda: api("GET", "/servers").status_code == 200, "the API recovered")


def test_without_the_database(cloud, postgres, api):
    with postgres.away(killed=True):
        assert_unavailable(lambda: api("GET", "/servers"))

    wait_until(lambda: api("GET", "/servers").status_code == 200, "the API recovered")


def test_without_the_broker(cloud, rabbitmq: RabbitMq, api):
    with rabbitmq.away():
        assert_unavailable(lambda: api("GET", "/servers"))

    wait_until(lambda: api("GET", "/servers").status_code == 200, "recovered", timeout_s=60)


def test_without_identity_and_image(cloud, boot):
    unseen_token = cloud.connect("admin").auth_token
    with without(cloud, "companion"):
        assert_unavailable(
            lambda: requests.get(
                f"{cloud.compute_url}/v2.1/servers",
                headers={"X-Auth-Token": unseen_token},
                timeout=60,
            )
        )
        # The API may trust an image's description for api.image_cache_s.
        wait_until(lambda: boot().status_code != 202, "the image is asked for again")
        assert_unavailable(boot)

    wait_until(lambda: boot().status_code == 202, "the API recovered")


def test_a_server_boots_after_all_of_it(cloud, boot):
    server = boot().json()["server"]["id"]

    wait_for_status(cloud.connect("demo"), server, "ACTIVE", timeout_s=60)


def test_a_boot_without_the_network_service_ends_in_error_in_time(make_cloud):
    cloud = make_cloud(options="[conductor]\nneighbour_patience_s = 6\n")
    try:
        cloud.start()
        cloud.seed()
        demo = cloud.connect("demo")
        image = next(iter(demo.image.images()))
        network = demo.network.find_network("private")
        cloud.kill("scheduler")  # keeps the boot from going on before the neighbour is away
        server = demo.compute.create_server(
            name="s", flavor_id="1", image_id=image.id, networks=[{"uuid": network.id}]
        )
        cloud.kill("companion")
        cloud.start("scheduler")

        found = wait_for_status(demo, server.id, "ERROR", timeout_s=40)

        assert "is not available" in found.fault["message"]
    finally:
        cloud.remove()

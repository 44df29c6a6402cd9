# SPDX-License-Identifier: Apache-2.0
"""A server of its own for each test of actions, what its owner does to it, and how it looks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

__all__ = ["Act", "act", "server", "show", "until"]

Act = Callable[..., requests.Response]


@pytest.fixture
def server(cloud: Cloud) -> Iterator[str]:
    """A server of the demo project that runs; gone after the test."""
    demo = cloud.connect()
    image = next(iter(demo.image.images()))
    made = demo.compute.create_server(
        name="s", flavor_id="1", image_id=image.id, networks="none", wait=False
    )
    demo.compute.wait_for_server(made, wait=30, interval=0.1)
    yield made.id
    cloud.faults()
    admin = cloud.connect("admin")
    admin.compute.post(f"/servers/{made.id}/action", json={"forceDelete": None})


@pytest.fixture
def act(cloud: Cloud, server: str) -> Act:
    """Performs an action as the owner."""
    session = requests.Session()
    session.headers["X-Auth-Token"] = cloud.connect().auth_token

    def perform(body: dict[str, Any], *, version: str = "2.104") -> requests.Response:
        return session.post(
            f"{cloud.compute_url}/v2.1/servers/{server}/action", json=body, timeout=30,
            headers={"OpenStack-API-Version": f"compute {version}"},
        )  # fmt: skip

    return perform


@pytest.fixture
def show(call: Call, server: str) -> Callable[[], dict[str, Any]]:
    return lambda: call("GET", f"/servers/{server}").json()["server"]


def until(show: Callable[[], dict[str, Any]], status: str) -> dict[str, Any]:
    """The server once it rests with this status."""

    def there() -> bool:
        found = show()
        return found["status"] == status and found["OS-EXT-STS:task_state"] is None

    wait_until(there, f"the server is {status}")
    return show()

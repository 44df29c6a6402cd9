# SPDX-License-Identifier: Apache-2.0
"""The API in front of a whole cloud of real processes, one for all tests of this folder."""

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.functional.cloud import Cloud, make_cloud  # noqa: F401

Call = Callable[..., requests.Response]


@pytest.fixture(scope="package")
def cloud(make_cloud: Callable[..., Cloud]) -> Iterator[Cloud]:  # noqa: F811
    made = make_cloud()
    try:
        made.start()
        made.seed()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="package")
def call(cloud: Cloud) -> Call:
    """Sends a request as the administrator at the newest microversion, or at `version`."""
    session = requests.Session()
    session.headers["X-Auth-Token"] = cloud.connect("admin").auth_token

    def send(method: str, path: str, *, version: str = "2.104", **more) -> requests.Response:
        more.setdefault("headers", {})["OpenStack-API-Version"] = f"compute {version}"
        return session.request(method, f"{cloud.compute_url}/v2.1{path}", timeout=30, **more)

    return send

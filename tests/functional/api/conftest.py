# SPDX-License-Identifier: Apache-2.0
"""The API in front of a whole cloud of real processes."""

from collections.abc import Callable

import pytest
import requests

from tests.functional.cloud import *  # noqa: F403
from tests.functional.cloud import Cloud
from tests.functional.postgres import *  # noqa: F403
from tests.functional.rabbitmq import *  # noqa: F403

Call = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def call(cloud: Cloud) -> Call:
    """Sends a request as the administrator at the newest microversion, or at `version`."""
    session = requests.Session()
    session.headers["X-Auth-Token"] = cloud.connect("admin").auth_token

    def send(method: str, path: str, *, version: str = "2.104", **more) -> requests.Response:
        more.setdefault("headers", {})["OpenStack-API-Version"] = f"compute {version}"
        return session.request(method, f"{cloud.compute_url}/v2.1{path}", timeout=30, **more)

    return send

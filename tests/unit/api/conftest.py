# SPDX-License-Identifier: Apache-2.0
"""The API's application with a conductor in memory behind it, and callers with roles."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import falcon.testing
import pytest

from common import config
from common.policy import Policy
from common.rpc.conductor.aggregates import Aggregates
from common.rpc.conductor.consoles import Consoles
from common.rpc.conductor.external_events import ExternalEvents
from common.rpc.conductor.guest import Guest
from common.rpc.conductor.host_power import HostPower
from common.rpc.conductor.idempotency import Idempotency
from common.rpc.conductor.interfaces import Interfaces
from common.rpc.conductor.moves import Moves
from common.rpc.conductor.repair import Repair
from common.rpc.conductor.server_groups import ServerGroups
from common.rpc.conductor.shares import Shares
from common.rpc.conductor.shelving import Shelving
from common.rpc.conductor.snapshots import Snapshots
from common.rpc.conductor.state import State
from common.rpc.conductor.usage import Usage
from common.rpc.conductor.volumes import Volumes
from services.api.app import AppOptions, make_app
from services.api.console_urls import ConsoleUrls
from services.api.routes import Parts
from tests import factories
from tests.unit.api import conductor
from tests.unit.api.volume_service import TOKEN

CONSOLE_URLS = ConsoleUrls(
    novnc="http://127.0.0.1:6080/vnc_lite.html",
    spice_html5="http://127.0.0.1:6082/spice_auto.html",
    spice_direct="http://127.0.0.1:13002/nova",
    serial="ws://127.0.0.1:6083/",
)

Ask = Callable[..., falcon.testing.Result]


@pytest.fixture(scope="session")
def parts() -> Parts:
    return Parts(
        servers=conductor.MemoryServers(),
        power=conductor.MemoryPower(),
        guest=Guest.client(conductor.NOBODY),
        interfaces=Interfaces.client(conductor.NOBODY),
        external_events=ExternalEvents.client(conductor.NOBODY),
        state=State.client(conductor.NOBODY),
        repair=Repair.client(conductor.NOBODY),
        snapshots=Snapshots.client(conductor.NOBODY),
        shelving=Shelving.client(conductor.NOBODY),
        moves=Moves.client(conductor.NOBODY),
        consoles=Consoles.client(conductor.NOBODY),
        catalog=conductor.MemoryCatalog(),
        hosts=conductor.MemoryHosts(),
        host_power=HostPower.client(conductor.NOBODY),
        aggregates=Aggregates.client(conductor.NOBODY),
        server_groups=ServerGroups.client(conductor.NOBODY),
        quotas=conductor.MemoryQuotas(),
        usage=Usage.client(conductor.NOBODY),
        volumes=Volumes.client(conductor.NOBODY),
        shares=Shares.client(conductor.NOBODY),
        tasks=conductor.MemoryTasks(),
        idempotency=Idempotency.client(conductor.NOBODY),
        lookups=conductor.MemoryLookups(),
        images=conductor.MemoryImages(),
        networks=conductor.NOBODY,
        volume_service=conductor.NOBODY,
        share_service=conductor.NOBODY,
        identity=conductor.MemoryIdentity(),
        console_urls=CONSOLE_URLS,
        show_password=True,
        max_limit=1000,
    )


@pytest.fixture(scope="session")
def app(parts: Parts) -> Any:
    return _application(parts)


@pytest.fixture(scope="session")
def ask(app: Any) -> Ask:
    """Sends a request as somebody with `roles` (None: without a token) at `version`."""
    return _asking(app)


@pytest.fixture
def ask_with(parts: Parts) -> Callable[..., Ask]:
    """Makes an `ask` of an application that has other parts."""
    return lambda **others: _asking(_application(dataclasses.replace(parts, **others)))


def _application(parts: Parts) -> Any:
    return make_app(parts, Policy(config.load("test", [], [])), AppOptions(), dict)


def _asking(app: Any) -> Ask:
    client = falcon.testing.TestClient(app)

    def send(
        method: str,
        path: str,
        body: Any = None,
        *,
        version: int | str | None = None,
        roles: str | None = "admin,manager,member,reader",
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> falcon.testing.Result:
        environ = {}
        if roles is not None:
            environ = {
                "HTTP_X_IDENTITY_STATUS": "Confirmed",
                "HTTP_X_ROLES": roles,
                "HTTP_X_PROJECT_ID": factories.PROJECT,
                "HTTP_X_USER_ID": factories.USER,
            }
        headers = {"X-Auth-Token": TOKEN} | (headers or {})
        if version is not None:
            text = f"2.{version}" if isinstance(version, int) else version
            headers["OpenStack-API-Version"] = f"compute {text}"
        if body is not None:
            raw = json.dumps(body).encode()
        path, _, query = path.partition("?")
        return client.simulate_request(
            method, path, body=raw, headers=headers, extras=environ, query_string=query
        )

    return send

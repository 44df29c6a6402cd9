# SPDX-License-Identifier: Apache-2.0
"""URLs of consoles, and which pairs of protocol and type there are."""

import dataclasses
from urllib.parse import parse_qs, urlsplit

import falcon.testing
import pytest

from common import config
from common.errors import ConsoleTokenNotFound
from common.objects.console import Console, ConsoleAddress, ConsoleType
from common.policy import Policy
from common.rpc.conductor.consoles import Consoles
from services.api.app import AppOptions, make_app
from services.api.console_urls import ConsoleUrls
from tests import factories
from tests.unit.api.conftest import CONSOLE_URLS

TOKEN = "t-0_k"


class MemoryConsoles(Consoles):
    """Every server has every console, and one token opens what `console` is."""

    console = Console(
        instance_uuid=factories.INSTANCE,
        console_type=ConsoleType.SPICE_DIRECT,
        address=ConsoleAddress(host="h", port=5930, tls_port=5931),
        left_s=10,
    )

    def create(self, ctx, instance, *, console_type):
        return TOKEN

    def find(self, ctx, token):
        if token != TOKEN:
            raise ConsoleTokenNotFound
        return self.console


@pytest.fixture(scope="module")
def consoles():
    return MemoryConsoles()


@pytest.fixture(scope="module")
def app(parts, consoles):
    ours = dataclasses.replace(parts, consoles=consoles)
    return make_app(ours, Policy(config.load("test", [], [])), AppOptions(), dict)


@pytest.fixture(scope="module")
def ask(app):
    client = falcon.testing.TestClient(app)

    def send(method, path, body=None, *, version, roles="admin"):
        extras = {
            "HTTP_X_IDENTITY_STATUS": "Confirmed", "HTTP_X_ROLES": roles,
            "HTTP_X_PROJECT_ID": factories.PROJECT, "HTTP_X_USER_ID": factories.USER,
        }  # fmt: skip
        headers = {"OpenStack-API-Version": f"compute 2.{version}"}
        return client.simulate_request(method, path, json=body, headers=headers, extras=extras)

    return send


def open_(ask, protocol, type_, version=104):
    body = {"remote_console": {"protocol": protocol, "type": type_}}
    return ask("POST", f"/v2.1/servers/{factories.INSTANCE}/remote-consoles", body, version=version)


@pytest.mark.parametrize(
    ("protocol", "type_", "url"),
    [
        ("vnc", "novnc", "http://127.0.0.1:6080/vnc_lite.html?path=%3Ftoken%3Dt-0_k"),
        ("serial", "serial", "ws://127.0.0.1:6083/?token=t-0_k"),
        ("spice", "spice-html5", "http://127.0.0.1:6082/spice_auto.html?token=t-0_k"),
        ("spice", "spice-direct", "http://127.0.0.1:13002/nova?token=t-0_k"),
    ],
)
def test_a_console_is_a_url_with_a_token(ask, protocol, type_, url):
    answer = open_(ask, protocol, type_)

    assert answer.json == {"remote_console": {"protocol": protocol, "type": type_, "url": url}}


@pytest.mark.parametrize(
    ("protocol", "type_"),
    [
        ("vnc", "serial"), ("serial", "novnc"), ("spice", "novnc"), ("vnc", "xvpvnc"),
        ("rdp", "rdp-html5"), ("vnc", "rdp-html5"), ("mks", "spice-direct"),
    ],
)  # fmt: skip
def test_a_type_that_is_not_of_the_protocol_is_refused(ask, protocol, type_):
    answer = open_(ask, protocol, type_)

    assert answer.status_code == 400
    assert answer.json["badRequest"]["message"] == f"Invalid console type {type_}"


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("https://c.example/vnc/vnc_lite.html?scale=true", "?token=t-0_k"),
        ("https://c.example/vnc_lite.html?path=vnc/websockify", "vnc/websockify?token=t-0_k"),
        ("https://c.example/vnc_lite.html?path=?a=b", "?a=b&token=t-0_k"),
    ],
)
def test_what_a_base_url_asks_for_stays(base, path):
    urls = dataclasses.replace(CONSOLE_URLS, novnc=base)

    made = urlsplit(urls.url(ConsoleType.NOVNC, TOKEN))

    assert parse_qs(made.query) == parse_qs(urlsplit(base).query) | {"path": [path]}
    assert (made.scheme, made.netloc) == ("https", "c.example")


def test_every_type_that_a_driver_may_have_has_a_url_or_no_driver():
    urls = ConsoleUrls("http://a/", "http://b/", "http://c/", "ws://d/")
    lacking = []
    for console_type in ConsoleType:
        try:
            urls.url(console_type, TOKEN)
        except LookupError:
            lacking.append(console_type)

    assert lacking == [ConsoleType.WEBMKS]


def test_only_spice_direct_shows_a_port_for_tls(ask, consoles):
    path = f"/v2.1/os-console-auth-tokens/{TOKEN}"
    shown = {
        "instance_uuid": factories.INSTANCE, "host": "h", "port": 5930,
        "internal_access_path": None,
    }  # fmt: skip

    assert ask("GET", path, version=98).json == {"console": shown}
    assert ask("GET", path, version=99).json == {"console": shown | {"tls_port": 5931}}


def test_a_token_is_shown_to_administrators_from_2_31(ask):
    path = f"/v2.1/os-console-auth-tokens/{TOKEN}"

    assert ask("GET", path, version=30).status_code == 400
    assert ask("GET", path, version=31).status_code == 200
    assert ask("GET", path, version=31, roles="member").status_code == 403
    assert ask("GET", path + "x", version=31).status_code == 404
    assert ask("GET", path + "?a=b", version=98).status_code == 200
    assert ask("GET", path + "?a=b", version=99).status_code == 400


def test_the_rdp_action_is_always_refused(ask):
    path = f"/v2.1/servers/{factories.INSTANCE}/action"
    body = {"os-getRDPConsole": {"type": "rdp-html5"}}

    assert ask("POST", path, body, version=5).status_code == 400
    assert ask("POST", path, body, version=6).status_code == 404

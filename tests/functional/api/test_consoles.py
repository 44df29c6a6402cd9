# SPDX-License-Identifier: Apache-2.0
"""Consoles of servers, through real HTTP: their URLs, their tokens, and what ends these."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.functional.api.servers import *  # noqa: F403
from tests.functional.api.servers import until
from tests.functional.rabbitmq import wait_until

VNC = {"remote_console": {"protocol": "vnc", "type": "novnc"}}


@pytest.fixture
def open_console(call, server):
    return lambda body=VNC, **more: call(
        "POST", f"/servers/{server}/remote-consoles", json=body, **more
    )


@pytest.fixture
def token(open_console):
    """The token of a VNC console."""
    query = parse_qs(urlsplit(open_console().json()["remote_console"]["url"]).query)
    return parse_qs(query["path"][0].removeprefix("?"))["token"][0]


def shown(call, token):
    return call("GET", f"/os-console-auth-tokens/{token}")


def test_an_administrator_sees_where_a_token_leads(call, server, token):
    found = shown(call, token).json()["console"]

    assert found["instance_uuid"] == server
    assert (found["port"], found["internal_access_path"]) == (5900, None)
    assert found["host"].endswith(".invalid")


def test_the_old_actions_make_the_same_urls(act):
    for action, type_, scheme in (
        ("os-getVNCConsole", "novnc", "http"),
        ("os-getSPICEConsole", "spice-html5", "http"),
        ("os-getSerialConsole", "serial", "ws"),
    ):
        answer = act({action: {"type": type_}}, version="2.5")
        console = answer.json()["console"]
        assert console["type"] == type_
        assert urlsplit(console["url"]).scheme == scheme
        assert act({action: {"type": type_}}, version="2.6").status_code == 404


def test_consoles_that_nothing_here_has_are_refused(open_console, act):
    def status(protocol, type_):
        body = {"remote_console": {"protocol": protocol, "type": type_}}
        return open_console(body).status_code

    assert status("rdp", "rdp-html5") == 400
    assert status("vnc", "xvpvnc") == 400
    assert status("vnc", "serial") == 400
    assert status("mks", "webmks") == 501
    assert act({"os-getVNCConsole": {"type": "xvpvnc"}}, version="2.1").status_code == 400


def test_a_server_that_is_off_has_no_console_until_it_is_on(
    call, act, show, server, open_console, token
):
    act({"os-stop": None})
    until(show, "SHUTOFF")

    refused = open_console()

    assert refused.status_code == 409
    message = refused.json()["conflictingRequest"]["message"]
    assert message == f"Instance {server} is not ready"
    assert shown(call, token).status_code == 404
    act({"os-start": None})
    until(show, "ACTIVE")
    assert shown(call, token).status_code == 200


@pytest.mark.parametrize(
    ("action", "then"),
    [("rebuild", "ACTIVE"), ("migrate", "VERIFY_RESIZE"), ("shelve", "SHELVED_OFFLOADED")],
)
def test_a_token_is_not_for_what_a_server_becomes(cloud, call, show, server, token, action, then):
    image = next(iter(cloud.connect().image.images())).id
    body = {action: {"imageRef": image} if action == "rebuild" else None}

    assert call("POST", f"/servers/{server}/action", json=body).status_code == 202
    until(show, then)

    assert shown(call, token).status_code == 404


def test_a_deleted_server_leaves_no_token(cloud, call, server, token):
    cloud.connect().compute.delete_server(server)

    wait_until(lambda: shown(call, token).status_code == 404, "the token opens nothing")
    for path in (f"/servers/{server}/remote-consoles", f"/servers/{token}/remote-consoles"):
        wait_until(
            lambda path=path: call("POST", path, json=VNC).status_code == 404,
            "the server is not found",
        )  # fmt: skip


def test_a_server_whose_host_takes_its_time_is_not_asked_for_ever(cloud, call, server, token):
    cloud.stop("compute")
    try:
        assert shown(call, token).status_code in (409, 503)
    finally:
        cloud.start("compute")
    wait_until(lambda: shown(call, token).status_code == 200, "the token opens its console again")


def test_a_token_is_never_repeated_in_an_answer_or_a_log(cloud, call, token):
    unknown = "x" * 43
    assert unknown not in shown(call, unknown).text

    cloud.stop("conductor")
    try:
        assert shown(call, token).status_code == 503
    finally:
        cloud.start("conductor")
    logs = [file.read_text(errors="replace") for file in (cloud.folder / "log").iterdir()]
    assert logs
    assert not any(token in text or unknown in text for text in logs)

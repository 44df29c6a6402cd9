# SPDX-License-Identifier: Apache-2.0
"""Files injected into new servers, up to microversion 2.56."""

import base64

import pytest

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud

BOOT = {"name": "s", "flavorRef": "1"}


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return next(iter(cloud.connect("admin").image.images())).id


def files(*contents, path="/etc/motd"):
    return [{"path": path, "contents": base64.b64encode(each).decode()} for each in contents]


@pytest.mark.parametrize(
    ("personality", "status", "words"),
    [
        (files(b"x") * 6, 403, "Personality file limit exceeded"),
        (files(b"x" * 10241), 403, "Personality file content exceeds maximum 10240"),
        (files(b"x", path="/" + "p" * 300), 403, "Personality file path exceeds maximum 255"),
        ([{"path": "/x", "contents": "no base 64 at all"}], 400, "contents"),
    ],
)
def test_files_beyond_the_quota_or_broken_are_refused(
    call: Call, image: str, personality, status, words
):
    server = {**BOOT, "imageRef": image, "personality": personality}

    answer = call("POST", "/servers", json={"server": server}, version="2.1")

    assert answer.status_code == status
    assert words in answer.text


def test_a_server_with_files_has_a_config_drive_to_bring_them(call: Call, image: str):
    server = {**BOOT, "imageRef": image, "personality": files(b"hello")}

    answer = call("POST", "/servers", json={"server": server}, version="2.1")

    assert answer.status_code == 202
    made = f"/servers/{answer.json()['server']['id']}"
    assert call("GET", made, version="2.1").json()["server"]["config_drive"] == "True"
    assert call("DELETE", made).status_code == 204

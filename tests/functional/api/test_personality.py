# SPDX-License-Identifier: Apache-2.0
"""Files injected into new servers, up to microversion 2.56."""

import base64
from typing import Any

import pytest

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud
from tests.functional.rabbitmq import wait_until

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


def test_a_rebuild_with_files_or_another_image_gives_the_drive_that_it_takes(
    cloud: Cloud, call: Call, image: str
):
    images = cloud.connect("admin").image
    strict = images.create_image(
        name="strict", data=b"x", disk_format="raw", container_format="bare", wait=True,
        validate_checksum=False, img_config_drive="mandatory",
    )  # fmt: skip
    made = []

    def boot(source: str) -> str:
        body = {"server": {**BOOT, "imageRef": source, "networks": "none"}}
        answer = call("POST", "/servers", json=body, version="2.56")
        made.append(f"/servers/{answer.json()['server']['id']}")
        at_rest(call, made[-1])
        return made[-1]

    def has_drive(server: str) -> bool:
        return at_rest(call, server)["config_drive"] == "True"

    try:
        plain, with_files, other = boot(image), boot(image), boot(image)
        assert (has_drive(plain), has_drive(boot(strict.id))) == (False, True)
        rebuilds = {
            plain: {"imageRef": image},
            with_files: {"imageRef": image, "personality": files(b"hello")},
            other: {"imageRef": strict.id},
        }
        for server, rebuild in rebuilds.items():
            answer = call("POST", f"{server}/action", json={"rebuild": rebuild}, version="2.56")
            assert answer.status_code == 202, answer.text
        assert [has_drive(server) for server in rebuilds] == [False, True, True]
    finally:
        for server in made:
            call("DELETE", server)
        images.delete_image(strict)


def at_rest(call: Call, server: str) -> dict[str, Any]:
    """The server once it runs and nothing is under way."""

    def found() -> dict[str, Any]:
        return dict(call("GET", server).json()["server"])

    wait_until(
        lambda: (found()["status"], found()["OS-EXT-STS:task_state"]) == ("ACTIVE", None), "it runs"
    )
    return found()

# SPDX-License-Identifier: Apache-2.0
"""A POST with an Idempotency-Key is done once, however often it is sent."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from sqlalchemy import create_engine, text

from tests.functional.api.conftest import Call
from tests.functional.cloud import Cloud


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


def body(image: str, name: str = "once") -> dict:
    return {"server": {"name": name, "flavorRef": "1", "imageRef": image, "networks": "none"}}


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    return next(iter(cloud.connect("admin").image.images())).id


def count(call: Call, name: str) -> int:
    return len(call("GET", f"/servers?name=^{name}$").json()["servers"])


def test_the_same_request_again_is_answered_alike_and_done_once(call: Call, image, key):
    first = call("POST", "/servers", json=body(image), headers=dict(key))
    again = call("POST", "/servers", json=body(image), headers=dict(key))

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["OpenStack-API-Version"] == "compute 2.104"
    assert count(call, "once") == 1


def test_twins_at_once_are_done_once(call: Call, cloud: Cloud, image, key):
    token = cloud.connect("admin").auth_token
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.104", **key}

    def send(_: int) -> requests.Response:
        url = f"{cloud.compute_url}/v2.1/servers"
        return requests.post(url, json=body(image, "twin"), headers=headers, timeout=30)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert count(call, "twin") == 1


@pytest.mark.parametrize("change", ["body", "version", "path"])
def test_another_request_with_the_key_is_a_conflict(call: Call, image, key, change):
    call("POST", "/servers", json=body(image, "taken"), headers=dict(key))
    more = {
        "body": {"path": "/servers", "json": body(image, "other")},
        "version": {"path": "/servers", "json": body(image, "taken"), "version": "2.103"},
        "path": {"path": "/os-keypairs", "json": body(image, "taken")},
    }[change]

    answer = call("POST", headers=dict(key), **more)

    assert answer.status_code == 409
    assert "another request" in answer.json()["conflictingRequest"]["message"]


def test_a_key_is_its_users_own(call: Call, cloud: Cloud, image, key):
    call("POST", "/servers", json=body(image, "mine"), headers=dict(key))
    headers = {
        "X-Auth-Token": cloud.connect("demo").auth_token,
        "OpenStack-API-Version": "compute 2.104",
        **key,
    }

    url = f"{cloud.compute_url}/v2.1/servers"
    answer = requests.post(url, json=body(image, "theirs"), headers=headers, timeout=30)

    assert answer.status_code == 202


def test_what_was_refused_is_done_anew(call: Call, image, key):
    wrong = body(str(uuid.uuid4()), "late")
    first = call("POST", "/servers", json=wrong, headers=dict(key))
    assert first.status_code == 400

    assert call("POST", "/servers", json=body(image, "late"), headers=dict(key)).status_code == 202


@pytest.mark.parametrize("bad", ["", "a b", "k" * 256])
def test_a_key_of_another_form_is_refused(call: Call, image, bad):
    answer = call("POST", "/servers", json=body(image), headers={"Idempotency-Key": bad})

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["badRequest"]["message"]


def test_private_keys_in_answers_are_not_readable_in_the_database(call: Call, cloud: Cloud, key):
    made = {"keypair": {"name": "secret"}}
    first = call("POST", "/os-keypairs", json=made, headers=dict(key), version="2.91")
    again = call("POST", "/os-keypairs", json=made, headers=dict(key), version="2.91")

    assert first.json()["keypair"]["private_key"] == again.json()["keypair"]["private_key"]
    engine = create_engine(cloud.database_url)
    with engine.begin() as conn:
        rows = conn.execute(text("SELECT key || answer FROM idempotency_keys")).scalars().all()
    engine.dispose()
    assert rows
    assert not any(key["Idempotency-Key"] in row or "PRIVATE" in row for row in rows if row)


def test_a_key_is_free_again_after_a_day(call: Call, cloud: Cloud, image, key):
    call("POST", "/servers", json=body(image, "daily"), headers=dict(key))
    engine = create_engine(cloud.database_url)
    with engine.begin() as conn:
        conn.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'"))
    engine.dispose()

    answer = call("POST", "/servers", json=body(image, "daily"), headers=dict(key))

    assert answer.status_code == 202
    assert count(call, "daily") == 2

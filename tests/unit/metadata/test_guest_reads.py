# SPDX-License-Identifier: Apache-2.0
"""A guest reads the trees of the contract, and nothing else."""

from datetime import date
from urllib.parse import quote

import pytest
from falcon import testing
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.metadata.guest import ADDRESS, UUID, KnowsGuests, make_guest, make_service


def client(guest=None, **options) -> testing.TestClient:
    service = make_service(KnowsGuests(guest or make_guest()), **options)
    return testing.TestClient(service.app())


def get(path: str, guest=None, **options):
    return client(guest, **options).simulate_get(path, remote_addr=ADDRESS)


def test_meta_data_json_describes_the_server():
    answer = get("/openstack/latest/meta_data.json")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json["uuid"] == UUID
    assert answer.json["hostname"] == "web-one.novalocal"
    assert answer.json["public_keys"] == {"k": "ssh-ed25519 AAAA k"}
    assert answer.json["meta"] == {"role": "web"}


@pytest.mark.parametrize(
    "path", ["//openstack///latest/meta_data.json", "/openstack/latest/meta_data.json/"]
)
def test_slashes_too_many_do_not_matter(path):
    assert get(path).json["uuid"] == UUID


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/openstack/2012-08-10", ["meta_data.json", "user_data"]),
        ("/openstack/2013-04-04", ["meta_data.json", "user_data", "password"]),
        ("/2009-04-04", ["meta-data/", "user-data"]),
        ("/ec2/latest/", ["meta-data/", "user-data"]),
        ("/latest/meta-data/public-keys", ["0=k"]),
        ("/latest/meta-data/public-keys/0/", ["openssh-key"]),
        ("/latest/meta-data/public-keys/0/openssh-key", ["ssh-ed25519 AAAA k"]),
        ("/latest/meta-data/instance-id", ["i-0000001a"]),
        ("/latest/meta-data/local-ipv4", [ADDRESS]),
        ("/1.0/meta-data", [
            "ami-id", "ami-launch-index", "ami-manifest-path", "hostname", "instance-id",
            "local-ipv4", "public-keys/", "reservation-id", "security-groups",
        ]),
        ("/latest/meta-data/security-groups", ["default", "web"]),
    ],
)  # fmt: skip
def test_listings_and_texts_are_one_name_a_line_without_a_final_newline(path, lines):
    answer = get(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "\n".join(lines)


def test_openstack_versions_of_the_future_are_answered_but_not_listed():
    listed = get("/openstack", today=date(2017, 1, 1)).text.split("\n")

    assert listed[-2:] == ["2016-10-06", "latest"]
    assert get("/openstack/2018-08-27", today=date(2017, 1, 1)).status_code == 200


def test_the_root_lists_ec2_versions_whoever_asks():
    answer = client().simulate_get("/", remote_addr="10.9.9.9")

    assert answer.text.split("\n")[:2] == ["1.0", "2007-01-19"]
    assert answer.text.endswith("2009-04-04\nlatest")


@pytest.mark.parametrize("path", ["/openstack/latest/user_data", "/latest/user-data"])
def test_user_data_comes_as_it_was_given(path):
    assert get(path).content == b"#!/bin/sh\n\xff"


@pytest.mark.parametrize(
    "path",
    [
        "/openstack/latest/user_data", "/latest/user-data", "/openstack/2011-01-01",
        "/openstack/latest/passwd", "/openstack/latest/meta_data.json/x", "/openstack/content",
        "/openstack/content/0000", "/2030-01-01/meta-data", "/latest/meta-data/nothing",
        "/latest/meta-data/public-keys/0=k", "/latest/meta-data/instance-id/x", "/latest/dynamic",
        "/openstack/2012-08-10/password", "/openstack/2013-04-04/vendor_data.json",
        "/latest/meta-data/public-keys/0/_name", "/etc/passwd", "/%2e%2e/%00",
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_404_in_plain_text(path):
    answer = get(path, guest=make_guest(user_data=None))

    assert (answer.status_code, answer.text) == (404, "Not found.")
    assert answer.headers["content-type"].startswith("text/plain")


def test_an_address_that_nobody_has_is_404():
    answer = client().simulate_get("/openstack/latest", remote_addr="10.1.0.77")

    assert answer.status_code == 404


def test_headers_that_claim_another_instance_are_ignored_in_direct_mode():
    answer = client().simulate_get(
        "/openstack",
        remote_addr="10.1.0.77",
        headers={"X-Instance-ID": UUID, "X-Forwarded-For": ADDRESS},
    )

    assert answer.status_code == 404


def test_an_ipv4_guest_is_known_on_a_listener_of_both_families():
    answer = client().simulate_get("/openstack/latest", remote_addr=f"::ffff:{ADDRESS}")

    assert answer.status_code == 200


_PARTS = st.sampled_from(
    ["openstack", "ec2", "latest", "2009-04-04", "2012-08-10", "meta-data", "public-keys", "0",
     "..", "_name", "meta_data.json", "block-device-mapping", "password", "content"]
)  # fmt: skip


@given(st.lists(_PARTS | st.text(max_size=8), max_size=6))
def test_whatever_a_guest_asks_it_gets_an_answer_or_404(parts):
    path = "/" + "/".join(quote(part) for part in parts)

    assert get(path).status_code in (200, 404)

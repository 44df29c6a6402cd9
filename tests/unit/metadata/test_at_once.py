# SPDX-License-Identifier: Apache-2.0
"""What is answered without a thread is what the application would have answered."""

import json
from dataclasses import replace

import pytest
from falcon import testing

from common.errors import Unavailable
from common.plain_requests import Later, PlainGet, Reply
from services.metadata.asker import BySignedHeaders
from tests.unit.metadata.guest import ADDRESS, PROJECT, UUID, KnowsGuests, make_guest, make_service
from tests.unit.metadata.test_guests import SlowConductor
from tests.unit.metadata.test_proxy import HEADERS, SECRET, signed

JSON = "/openstack/latest/meta_data.json"
OTHER_UUID, OTHER_ADDRESS = "99999999-6b3a-4c5d-8e9f-a0b1c2d3e4f5", "10.1.0.6"


def asked(service, path=JSON, address=ADDRESS, headers=None):
    """What `at_once` says, once everything that it needs is known."""
    names = {name.upper(): value for name, value in (headers or {}).items()}
    reply = service.at_once(address, PlainGet(path, names, 0))
    if not isinstance(reply, Later):
        return reply
    reply.known.exception(20)
    return reply.make()


def without_chance(content: bytes):
    """A file without what is new each time that it is read."""
    try:
        document = json.loads(content)
    except ValueError:
        return content
    return {k: v for k, v in document.items() if k != "random_seed"}


@pytest.mark.parametrize(
    "path",
    [
        JSON, "//openstack//latest/meta_data.json/", "/openstack", "/openstack/2012-08-10",
        "/openstack/latest/user_data", "/openstack/latest/password",
        "/openstack/latest/vendor_data.json", "/openstack/latest/vendor_data2.json",
        "/openstack/latest/network_data.json", "/latest", "/ec2/latest/meta-data/",
        "/1.0/user-data", "/latest/meta-data/public-keys/0/openssh-key",
    ],
)  # fmt: skip
def test_a_file_is_the_same_both_ways(path):
    service = make_service(KnowsGuests(make_guest(password="posted")))

    theirs = testing.TestClient(service.app()).simulate_get(path, remote_addr=ADDRESS)
    reply = asked(service, path)

    assert theirs.status_code == 200
    assert without_chance(reply.content) == without_chance(theirs.content)
    assert reply.content_type == theirs.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/", ADDRESS), ("/healthz", ADDRESS), ("/openstack/nothing", ADDRESS),
        ("/openstack/latest/nothing", ADDRESS), ("/latest/meta-data/_name", ADDRESS),
        (JSON, "10.9.9.9"),
    ],
)  # fmt: skip
def test_what_is_refused_or_about_no_guest_is_left_to_the_application(path, address):
    assert asked(make_service(KnowsGuests(make_guest())), path, address) is None


@pytest.mark.parametrize("cache_s", [0.0, 15.0])
def test_each_guest_reads_its_own(cache_s):
    other = make_guest(uuid=OTHER_UUID, vifs=())
    conductor = KnowsGuests(make_guest(), other)
    service = make_service(conductor, identifies=BySignedHeaders(SECRET), cache_s=cache_s)
    others = {"X-Instance-ID": OTHER_UUID, "X-Instance-ID-Signature": signed(OTHER_UUID)}

    for _ in range(2):
        for headers, uuid in ((HEADERS, UUID), (HEADERS | others, OTHER_UUID)):
            assert json.loads(asked(service, headers=headers).content)["uuid"] == uuid
    assert conductor.asked == (2 if cache_s else 4)


def test_what_headers_claim_is_ignored_without_a_proxy():
    others = {"X-Instance-ID": OTHER_UUID, "X-Tenant-ID": PROJECT, "X-Forwarded-For": OTHER_ADDRESS}
    service = make_service(KnowsGuests(make_guest(), make_guest(uuid=OTHER_UUID, vifs=())))

    assert json.loads(asked(service, headers=others).content)["uuid"] == UUID


@pytest.mark.parametrize(
    ("wrong", "questions"),
    [
        ({"X-Instance-ID-Signature": signed("x")}, 0),
        ({"X-Instance-ID": OTHER_UUID}, 0),
        ({"X-Tenant-ID": ""}, 0),
        ({"X-Tenant-ID": "somebody else's"}, 1),
    ],
)
def test_a_claim_that_does_not_hold_gets_nothing_even_when_the_guest_is_remembered(
    wrong, questions
):
    conductor = KnowsGuests(make_guest())
    service = make_service(conductor, identifies=BySignedHeaders(SECRET))
    assert asked(service, headers=HEADERS)

    assert asked(service, headers=HEADERS | wrong) is None
    assert conductor.asked == 1 + questions


def test_it_does_not_wait_for_the_conductor():
    conductor = SlowConductor(make_guest())
    service = make_service(conductor)

    reply = service.at_once(ADDRESS, PlainGet(JSON, {}, 0))
    assert isinstance(reply, Later)
    assert not reply.known.done()
    conductor.may_answer.set()
    reply.known.result(20)

    assert isinstance(reply.make(), Reply)


def test_while_the_conductor_is_away_the_application_says_so():
    conductor = KnowsGuests(make_guest())
    conductor.away = True
    service = make_service(conductor)

    assert asked(service) is None
    assert asked(service) is None
    assert conductor.asked == 1


def test_files_that_services_have_a_part_in_are_left_to_a_thread():
    def dynamic(guest, hostname):
        raise Unavailable(service="Vendor data")

    service = make_service(KnowsGuests(make_guest()))
    service = replace(service, settings=replace(service.settings, dynamic=dynamic))

    assert asked(service, "/openstack/latest/vendor_data2.json") is None
    assert asked(service, "/openstack/latest//vendor_data2.json/") is None
    assert asked(service, "/openstack/latest/vendor_data.json") is not None

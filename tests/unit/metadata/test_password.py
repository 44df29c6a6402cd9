# SPDX-License-Identifier: Apache-2.0
"""A guest posts its password once."""

import pytest
from falcon import testing

from tests.unit.metadata.guest import ADDRESS, UUID, KnowsGuests, make_guest, make_service

PATH = "/openstack/latest/password"


def client(conductor) -> testing.TestClient:
    return testing.TestClient(make_service(conductor).app())


def test_a_posted_password_is_kept_and_read_at_once():
    guest = client(KnowsGuests(make_guest()))

    before = guest.simulate_get(PATH, remote_addr=ADDRESS).text
    posted = guest.simulate_post(PATH, body=b"c2VjcmV0", remote_addr=ADDRESS)
    after = guest.simulate_get(PATH, remote_addr=ADDRESS).text

    assert (before, posted.status_code, posted.text, after) == ("", 200, "", "c2VjcmV0")


def test_a_second_password_is_409_and_changes_nothing():
    conductor = KnowsGuests(make_guest(password="first"))

    answer = client(conductor).simulate_post(PATH, body=b"second", remote_addr=ADDRESS)

    assert answer.status_code == 409
    assert conductor.guests[UUID].password == "first"


@pytest.mark.parametrize(("length", "status"), [(1020, 200), (1021, 400), (100000, 400)])
def test_a_password_above_1020_bytes_is_400(length, status):
    answer = client(KnowsGuests(make_guest())).simulate_post(
        PATH, body=b"x" * length, remote_addr=ADDRESS
    )

    assert answer.status_code == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_400(method):
    answer = client(KnowsGuests(make_guest())).simulate_request(method, PATH, remote_addr=ADDRESS)

    assert answer.status_code == 400


def test_bytes_that_are_no_text_are_400():
    answer = client(KnowsGuests(make_guest())).simulate_post(
        PATH, body=b"\xff\xfe", remote_addr=ADDRESS
    )

    assert answer.status_code == 400

# SPDX-License-Identifier: Apache-2.0
"""What a deployment's own services say about guests."""

from dataclasses import replace

import pytest
from falcon import testing

from common import config
from common.errors import Invalid
from common.guest_metadata import vendor_data, vendor_services
from tests.ports import free_ports
from tests.unit.metadata.guest import ADDRESS, PROJECT, UUID, KnowsGuests, make_guest, make_service
from tests.unit.metadata.vendor import serving
from tests.unit.scheduler.hosts import HandClock


@pytest.fixture
def vendor():
    with serving() as server:
        yield server


@pytest.fixture
def read(tmp_path):
    """Reads vendor_data2.json of a deployment with these options."""
    clock = HandClock()

    def make(*targets, more="", cache_s=15):
        file = tmp_path / "k.conf"
        file.write_text(f"[metadata]\nvendor_data_targets = {','.join(targets)}\n{more}\n")
        conf = config.load("test", ["--config-file", str(file)], ["metadata"])
        service = make_service(KnowsGuests(make_guest()))
        asking = vendor_services.dynamic(conf, clock, cache_s=cache_s)
        made = replace(service, settings=replace(service.settings, dynamic=asking))
        client = testing.TestClient(made.app())
        return lambda version="latest": client.simulate_get(
            f"/openstack/{version}/vendor_data2.json", remote_addr=ADDRESS
        )

    return make


def test_a_service_is_told_of_the_guest_and_its_answer_stands_under_its_name(vendor, read):
    answer = read(f"ours@{vendor.url}")()

    assert answer.json == {"static": {"vendor": "us"}, "ours": {"said": "this"}}
    (asked,) = vendor.asked
    assert (asked["instance-id"], asked["project-id"]) == (UUID, PROJECT)
    assert asked["hostname"] == "web-one.novalocal"
    assert asked["metadata"] == {"role": "web"}
    assert {"image-id", "user-data", "boot-roles"} < asked.keys()


def test_versions_without_the_file_ask_nobody(vendor, read):
    assert read(f"ours@{vendor.url}")("2016-06-30").status_code == 404
    assert vendor.asked == []


def test_what_was_said_is_remembered_for_as_long_as_an_answer_is(vendor, read):
    get = read(f"ours@{vendor.url}")

    get()
    get("2018-08-27")

    assert len(vendor.asked) == 1


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"not JSON"), (301, b""), (404, b"")])
def test_a_service_that_fails_says_nothing_and_others_do(vendor, read, answer):
    with serving() as other:
        other.answer = answer
        get = read(f"ours@{vendor.url}", f"broken@{other.url}")

        assert get().json == {
            "static": {"vendor": "us"}, "ours": {"said": "this"}, "broken": {},
        }  # fmt: skip


def test_an_endless_answer_is_cut_off(vendor, read):
    vendor.answer = (200, b'"' + b"x" * (2 << 20) + b'"')

    assert read(f"ours@{vendor.url}")().json["ours"] == {}


def test_a_service_that_does_not_answer_is_waited_for_so_long(vendor, read):
    vendor.may_answer.clear()

    assert read(f"ours@{vendor.url}", more="vendor_data_timeout_s = 1")().json["ours"] == {}
    assert len(vendor.asked) == 1


def test_what_guests_need_is_unavailable_while_it_fails(read):
    nobody = f"ours@http://127.0.0.1:{free_ports(1)[0]}/"

    answer = read(nobody, more="vendor_data_needed = true")()

    assert answer.status_code == 503
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("word", ["ours", "@http://x/", "ours@ftp://x/", "static@http://x/"])
def test_a_target_that_is_none_is_refused(word):
    with pytest.raises(Invalid):
        vendor_data.targets([word])
    with pytest.raises(Invalid):
        vendor_data.targets(["ours@http://x/", "ours@http://y/"])

# SPDX-License-Identifier: Apache-2.0
"""What the volume service has hosts do for snapshots: 400 is its only refusal of a state."""

import pytest

from common.errors import InstanceNotFound, InstanceNotReady, Unavailable, VolumeNotAttached
from tests.unit.api import conductor

VOLUME = "0b0b0b0b-0000-4000-8000-000000000001"
PATH = "/v2.1/os-assisted-volume-snapshots"
BODY = {
    "snapshot": {
        "volume_id": VOLUME,
        "create_info": {"snapshot_id": "s", "type": "qcow2", "new_file": "f", "id": VOLUME},
    }
}


@pytest.fixture
def rpc() -> conductor.MemoryVolumes:
    return conductor.MemoryVolumes()


@pytest.fixture
def ask(ask_with, rpc):
    return ask_with(volumes=rpc)


def test_a_host_is_asked_to_write_to_a_new_file(ask, rpc):
    answer = ask("POST", PATH, BODY, roles="service")

    assert answer.json == {"snapshot": {"id": VOLUME, "volumeId": VOLUME}}
    assert rpc.asked == [
        ("snapshot", {"volume_id": VOLUME, "snapshot_id": "s", "new_file": "f"}),
    ]


def test_a_host_is_asked_to_merge_a_snapshot(ask, rpc):
    info = '{"volume_id":"v","type":"qcow2"}'

    assert ask("DELETE", f"{PATH}/s?delete_info={info}").status_code == 204
    assert rpc.asked == [
        ("drop", {
            "volume_id": "v", "snapshot_id": "s",
            "delete_info": {"volume_id": "v", "type": "qcow2"}}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    ["", "?delete_info=", "?delete_info={", "?delete_info=[]", '?delete_info={"volume_id":1}'],
)
def test_what_is_to_be_merged_must_be_said(ask, rpc, query):
    assert ask("DELETE", f"{PATH}/s{query}").status_code == 400
    assert rpc.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (VolumeNotAttached(volume="v"), 400),
        (InstanceNotReady(instance="i"), 400),
        (InstanceNotFound(instance="i"), 404),
        (Unavailable(service="It"), 503),
    ],
)
def test_refusals(ask, rpc, error, status):
    rpc.refusals |= {"snapshot": error, "drop": error}

    assert ask("POST", PATH, BODY).status_code == status
    assert ask("DELETE", f'{PATH}/s?delete_info={{"volume_id":"v"}}').status_code == status


def test_it_is_for_services_and_administrators(ask):
    assert ask("POST", PATH, BODY, roles="member,reader").status_code == 403

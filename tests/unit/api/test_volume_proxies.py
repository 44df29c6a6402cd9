# SPDX-License-Identifier: Apache-2.0
"""Volumes and snapshots in the Compute API's old words, up to 2.35."""

import pytest

from common.clients.session import Refused
from common.clients.volume import UserVolumeClient
from tests import factories
from tests.unit.api.volume_service import NOWHERE, TOKEN, VolumeService


@pytest.fixture
def service() -> VolumeService:
    return VolumeService()


@pytest.fixture
def ask(ask_with, service: VolumeService):
    member = ask_with(volume_service=UserVolumeClient(service))

    def send(method: str, path: str, body=None, *, version: int = 35):
        return member(method, f"/v2.1{path}", body, version=version, roles="member,reader")

    return send


def _message(answer) -> str:
    return next(iter(answer.json.values()))["message"]


def test_a_volume_is_shown_in_the_old_words(ask, service):
    attached = {"server_id": factories.INSTANCE, "device": "/dev/vdb", "attachment_id": "a"}
    volume = service.volume(
        size=3, name="n", description="d", metadata={"k": "v"}, volume_type="fast",
        status="in-use", attachments=[attached],
    )  # fmt: skip

    shown = ask("GET", f"/os-volumes/{volume}").json["volume"]

    assert shown == {
        "id": volume, "status": "in-use", "size": 3, "availabilityZone": "nova",
        "createdAt": "2026-11-23T10:00:00.000000", "displayName": "n", "displayDescription": "d",
        "volumeType": "fast", "snapshotId": None, "metadata": {"k": "v"},
        "attachments": [{
            "id": volume, "volumeId": volume, "serverId": factories.INSTANCE,
            "device": "/dev/vdb"}],
    }  # fmt: skip
    assert service.tokens == {TOKEN}


def test_a_volume_that_is_nowhere_has_an_empty_attachment(ask, service):
    service.volume()

    (shown,) = ask("GET", "/os-volumes").json["volumes"]

    assert shown["attachments"] == [{}]


@pytest.mark.parametrize("path", ["/os-volumes", "/os-volumes/detail"])
def test_lists_have_pages(ask, service, path):
    made = [service.volume() for _ in range(3)]

    def ids(query: str) -> list[str]:
        return [each["id"] for each in ask("GET", f"{path}?{query}").json["volumes"]]

    assert ids("limit=1&offset=1") == made[1:2]
    assert ids("limit=0&offset=1") == made[1:]


def test_a_volume_is_made_and_deleted(ask, service):
    body = {"size": "2", "display_name": "n", "display_description": "d", "metadata": {"k": "v"}}

    made = ask("POST", "/os-volumes", {"volume": body})

    (volume,) = service.volumes.values()
    assert made.status_code == 200
    assert made.headers["location"].endswith(f"/v2.1/os-volumes/{volume['id']}")
    assert (volume["size"], volume["name"], volume["description"]) == (2, "n", "d")
    assert volume["metadata"] == {"k": "v"}
    volume["status"] = "available"
    assert ask("DELETE", f"/os-volumes/{volume['id']}").status_code == 202
    assert service.volumes == {}


def test_refusals_of_volumes(ask, service):
    busy = service.volume(status="in-use")
    from_nothing = {"volume": {"size": 1, "snapshot_id": NOWHERE}}

    for method in ("GET", "DELETE"):
        missing = ask(method, f"/os-volumes/{NOWHERE}")
        assert missing.status_code == 404
        assert _message(missing) == f"Volume {NOWHERE} could not be found."
    assert ask("DELETE", f"/os-volumes/{busy}").status_code == 400
    answer = ask("POST", "/os-volumes", from_nothing)
    assert (answer.status_code, _message(answer)) == (
        404, f"Snapshot {NOWHERE} could not be found.",
    )  # fmt: skip
    service.quota = 0
    assert ask("POST", "/os-volumes", {"volume": {"size": 1}}).status_code == 403
    service.refuse["GET", "/volumes"] = Refused("no", status=403)
    assert ask("GET", "/os-volumes").status_code == 403


def test_snapshots(ask, service):
    volume = service.volume(size=4)
    body = {"volume_id": volume, "display_name": "n", "display_description": "d", "force": "True"}

    made = ask("POST", "/os-snapshots", {"snapshot": body})

    assert made.status_code == 200
    shown = made.json["snapshot"]
    assert shown == {
        "id": shown["id"], "volumeId": volume, "status": "available", "size": 4,
        "createdAt": "2026-11-23T10:00:00.000000", "displayName": "n", "displayDescription": "d",
    }  # fmt: skip
    for path in ("/os-snapshots", "/os-snapshots/detail"):
        assert ask("GET", path).json == {"snapshots": [shown]}
    assert ask("GET", f"/os-snapshots/{shown['id']}").json == made.json
    assert ask("DELETE", f"/os-snapshots/{shown['id']}").status_code == 202
    assert ask("GET", f"/os-snapshots/{shown['id']}").status_code == 404
    assert ask("POST", "/os-snapshots", {"snapshot": {"volume_id": NOWHERE}}).status_code == 400


def test_they_end_with_2_35(ask):
    assert ask("GET", "/os-volumes", version=36).status_code == 404
    assert ask("GET", "/os-snapshots", version=36).status_code == 404

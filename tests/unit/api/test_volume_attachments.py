# SPDX-License-Identifier: Apache-2.0
"""The volumes of a server: what is asked of whom, and how it is answered at which version."""

import pytest

from common.clients.volume import UserVolumeClient
from common.errors import HostDown, InvalidVolume, VolumeNotAttached
from common.objects.block_device import BlockDeviceMapping
from common.objects.volume import RequestedVolume
from tests import factories
from tests.unit.api import conductor
from tests.unit.api.volume_service import NOWHERE, TOKEN, VolumeService

SERVER = factories.INSTANCE
ATTACHED = "0b0b0b0b-0000-4000-8000-000000000001"
OTHER = "0b0b0b0b-0000-4000-8000-000000000002"
BDM = "0b0b0b0b-0000-4000-8000-000000000003"
ATTACHMENT = "0b0b0b0b-0000-4000-8000-000000000004"
MEMBER = "member,reader"


@pytest.fixture
def service() -> VolumeService:
    return VolumeService()


@pytest.fixture
def rpc() -> conductor.MemoryVolumes:
    return conductor.MemoryVolumes()


@pytest.fixture
def servers() -> conductor.MemoryServers:
    found = conductor.MemoryServers()
    found.instance = factories.make_instance(
        block_devices=(
            BlockDeviceMapping(uuid="r", device_name="/dev/vda"),
            BlockDeviceMapping(
                uuid=BDM, source="volume", destination="volume", boot_index=None,
                volume_id=ATTACHED, device_name="/dev/vdb", tag="t", delete_on_termination=False,
                attachment_id=ATTACHMENT,
            ),
            BlockDeviceMapping(
                uuid=BDM, source="volume", destination="volume", boot_index=None, volume_id=OTHER,
                attachment_id=ATTACHMENT,
            ),
        )
    )  # fmt: skip
    return found


@pytest.fixture
def ask(ask_with, service, rpc, servers):
    somebody = ask_with(volume_service=UserVolumeClient(service), volumes=rpc, servers=servers)

    def send(method, rest="", body=None, *, version=104, roles=MEMBER):
        path = f"/v2.1/servers/{SERVER}/os-volume_attachments{rest}"
        asked = None if body is None else {"volumeAttachment": body}
        return somebody(method, path, asked, version=version, roles=roles)

    return send


def _refused(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    return next(iter(answer.json.values()))["message"]


_OLDEST = {"id": ATTACHED, "serverId": SERVER, "volumeId": ATTACHED, "device": "/dev/vdb"}


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        (69, _OLDEST),
        (70, _OLDEST | {"tag": "t"}),
        (79, _OLDEST | {"tag": "t", "delete_on_termination": False}),
        (89, {
            "serverId": SERVER, "volumeId": ATTACHED, "device": "/dev/vdb", "tag": "t",
            "delete_on_termination": False, "attachment_id": ATTACHMENT, "bdm_uuid": BDM}),
    ],
)  # fmt: skip
def test_a_volume_is_shown_as_the_version_knows_it(ask, version, shown):
    assert ask("GET", f"/{ATTACHED}", version=version).json == {"volumeAttachment": shown}
    assert ask("GET", version=version).json["volumeAttachments"][0] == shown


def test_lists_have_pages_of_volumes_only(ask):
    def ids(query: str) -> list[str]:
        return [each["volumeId"] for each in ask("GET", query).json["volumeAttachments"]]

    assert ids("") == [ATTACHED, OTHER]
    assert ids("?limit=1&offset=1") == [OTHER]
    assert ids("?limit=0&offset=1") == [OTHER]
    assert ids("?limit=1&offset=2") == []


def test_a_volume_that_the_server_does_not_have_is_not_found(ask):
    assert _refused(ask("GET", f"/{NOWHERE}"), 404) == (
        f"Instance {SERVER} is not attached to volume {NOWHERE}"
    )


def test_attaching_waits_until_the_volume_is_reserved(ask, service, rpc):
    volume = service.volume(size=3)
    body = {"volumeId": volume, "device": "/dev/vdx", "tag": "x", "delete_on_termination": True}

    answer = ask("POST", body=body, version=100)

    assert answer.status_code == 200
    assert answer.json["volumeAttachment"] == {
        "id": volume, "serverId": SERVER, "volumeId": volume, "device": "/dev/vdb", "tag": "x",
        "delete_on_termination": True,
    }  # fmt: skip
    wanted = RequestedVolume(
        volume_id=volume, size_gib=3, device_name="/dev/vdx", tag="x", delete_on_termination=True
    )
    details = {"instance": SERVER, "wanted": wanted, "shelved_too": True}
    assert rpc.asked[0] == ("attach", details)
    assert [name for name, _ in rpc.asked[1:]] == ["attached", "attached"]
    assert service.tokens == {TOKEN}


@pytest.mark.parametrize(("version", "more"), [
    (1, set()), (69, set()), (70, {"tag"}), (79, {"tag", "delete_on_termination"}),
])  # fmt: skip
def test_the_answer_has_what_the_version_knows(ask, service, version, more):
    answer = ask("POST", body={"volumeId": service.volume()}, version=version)

    wanted = {"id", "serverId", "volumeId", "device"} | more
    assert set(answer.json["volumeAttachment"]) == wanted


def test_from_2_101_on_the_answer_is_empty(ask, service):
    answer = ask("POST", body={"volumeId": service.volume()}, version=101)

    assert (answer.status_code, answer.content) == (202, b"")


def test_before_2_20_shelved_servers_get_and_lose_no_volume(ask, service, rpc):
    for version, shelved_too in ((19, False), (20, True)):
        rpc.asked.clear()
        ask("POST", body={"volumeId": service.volume()}, version=version)
        ask("DELETE", f"/{ATTACHED}", version=version)

        assert rpc.asked[0][1]["shelved_too"] is shelved_too
        assert rpc.asked[-1][1]["shelved_too"] is shelved_too


def test_a_volume_that_cannot_be_attached_is_refused_before_anything_happens(ask, service, rpc):
    busy = service.volume(status="in-use")
    shared = service.volume(status="in-use", multiattach=True)

    assert _refused(ask("POST", body={"volumeId": NOWHERE}), 404) == (
        f"Volume {NOWHERE} could not be found."
    )
    assert _refused(ask("POST", body={"volumeId": busy}), 400) == (
        f"Invalid volume: volume '{busy}' status must be 'available'. Currently in 'in-use'"
    )
    assert _refused(ask("POST", body={"volumeId": shared}, version=59), 400) == (
        "Multiattach volumes are only supported starting with compute API version 2.60."
    )
    assert rpc.asked == []
    assert ask("POST", body={"volumeId": shared}, version=60).status_code == 200
    assert rpc.asked[0][1]["wanted"].multiattach


def test_what_the_task_fails_with_is_the_answer(ask, service, rpc):
    rpc.refusals["attached"] = InvalidVolume(reason="somebody was faster")

    answer = ask("POST", body={"volumeId": service.volume()})

    assert _refused(answer, 400) == "Invalid volume: somebody was faster"


def test_detaching(ask, rpc):
    assert ask("DELETE", f"/{ATTACHED}").status_code == 202
    assert rpc.asked[-1] == (
        "detach", {"instance": SERVER, "volume_id": ATTACHED, "shelved_too": True},
    )  # fmt: skip
    rpc.refusals["detach"] = HostDown()
    assert _refused(ask("DELETE", f"/{ATTACHED}"), 409)
    rpc.refusals["detach"] = VolumeNotAttached(volume=OTHER)
    assert _refused(ask("DELETE", f"/{OTHER}"), 404) == f"volume_id not found: {OTHER}"


def test_what_ends_with_the_server_is_changed(ask, rpc):
    whole = {
        "volumeId": ATTACHED, "id": ATTACHED, "serverId": SERVER, "device": "/dev/vdb", "tag": "t",
        "delete_on_termination": "True",
    }  # fmt: skip

    assert ask("PUT", f"/{ATTACHED}", whole, version=85).status_code == 202
    assert rpc.asked == [("update", {"volume_id": ATTACHED, "delete_on_termination": True})]


@pytest.mark.parametrize(
    "other", [{"id": OTHER}, {"serverId": OTHER}, {"device": "/dev/vdc"}, {"tag": "u"}]
)
def test_nothing_else_of_an_attachment_changes(ask, rpc, other):
    body = {"volumeId": ATTACHED, "delete_on_termination": True} | other

    message = _refused(ask("PUT", f"/{ATTACHED}", body, version=85), 400)

    assert message == f"The {next(iter(other))} of a volume attachment cannot be changed."
    assert rpc.asked == []


def test_an_update_that_changes_nothing_needs_an_attachment(ask, rpc):
    assert ask("PUT", f"/{ATTACHED}", {"volumeId": ATTACHED}).status_code == 202
    assert ask("PUT", f"/{NOWHERE}", {"volumeId": NOWHERE}).status_code == 404
    assert rpc.asked == []


def test_a_volume_that_migrates_is_swapped(ask, service, rpc):
    old = service.volume(status="in-use", migration_status="migrating")
    new = service.volume(size=2)

    assert ask("PUT", f"/{old}", {"volumeId": new}, roles="admin", version=84).status_code == 202
    wanted = RequestedVolume(volume_id=new, size_gib=2)
    assert rpc.asked == [("swap", {"instance": SERVER, "volume_id": old, "wanted": wanted})]


def test_swaps_that_are_refused(ask, service, rpc):
    old = service.volume(status="in-use", size=2, migration_status="migrating")
    rests = service.volume(status="in-use")
    small, large = service.volume(), service.volume(size=2)
    taken = service.volume(size=2, attachments=[{"server_id": OTHER}])
    shared = service.volume(
        multiattach=True, migration_status="migrating",
        attachments=[{"server_id": OTHER}, {"server_id": SERVER}],
    )  # fmt: skip

    def swap(before: str, after: str, status: int, **how) -> str:
        return _refused(ask("PUT", f"/{before}", {"volumeId": after}, **{"roles": "admin"} | how),
                        status)  # fmt: skip

    assert swap(old, large, 403, roles=MEMBER)
    assert "is not migrating" in swap(rests, large, 409)
    assert swap(NOWHERE, large, 404) == f"Volume {NOWHERE} could not be found."
    assert swap(old, NOWHERE, 400) == f"Volume {NOWHERE} could not be found."
    assert swap(old, small, 400) == ("Invalid volume: New volume must be the same size or larger.")
    assert swap(old, taken, 400) == (
        "Invalid volume: New volume must be detached in order to swap."
    )
    assert "more than one read/write attachment" in swap(shared, large, 400)
    assert rpc.asked == []

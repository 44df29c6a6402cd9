# SPDX-License-Identifier: Apache-2.0
"""The shares of a server: who sees what of them, and what is asked of whom."""

import json

import msgspec
import pytest

from common.clients.session import Refused
from common.clients.share import UserShareClient
from common.errors import InstanceInvalidState, ShareInUse, ShareNotFound, Unavailable
from common.objects.share import Share
from common.objects.share_mapping import ShareMapping, ShareStatus
from common.rpc.conductor.shares import Shares
from common.states import PowerState, VmState
from tests import factories
from tests.unit.api import conductor
from tests.unit.api.volume_service import NOWHERE, TOKEN

SERVER = factories.INSTANCE
HELD = "0c0c0c0c-0000-4000-8000-000000000001"
NEW = "0c0c0c0c-0000-4000-8000-000000000002"
MAPPING = ShareMapping(
    uuid="0c0c0c0c-0000-4000-8000-000000000003", share_id=HELD, tag="data",
    export_location="nas:/held", status=ShareStatus.INACTIVE,
)  # fmt: skip
MEMBER, ADMIN = "member,reader", "admin,manager,member,reader"


class ShareService:
    """One share, behind the real client."""

    def __init__(self):
        self.refusal, self.tokens = None, set()

    def request(self, service, version, method, path, *, token=None, **options):
        assert (service, version, method) == ("shared-file-system", "v2", "GET")
        self.tokens.add(token)
        if self.refusal is not None:
            raise self.refusal
        if path == f"/shares/{NEW}":
            found = {"id": NEW, "status": "available", "share_proto": "NFS", "size": 1}
            return _Answer({"share": found})
        if path == f"/shares/{NEW}/export_locations":
            return _Answer({"export_locations": [{"path": "nas:/new", "preferred": True}]})
        raise Refused("no such share", status=404)


class _Answer:
    def __init__(self, document):
        self.content = json.dumps(document).encode()

    def json(self):
        return json.loads(self.content)


class MemoryShares(Shares):
    """Accepts everything but what `refusal` is for."""

    def __init__(self):
        self.asked, self.refusal = [], None

    def _note(self, *what):
        self.asked.append(what)
        if self.refusal is not None:
            raise self.refusal

    def attach(self, ctx, instance, *, share, tag=None):
        self._note("attach", instance, share, tag)
        return ShareMapping(
            uuid=MAPPING.uuid, share_id=share.id, tag=tag or share.id,
            export_location=share.export_location,
        )  # fmt: skip

    def detach(self, ctx, instance, *, share_id):
        self._note("detach", instance, share_id)


@pytest.fixture
def service():
    return ShareService()


@pytest.fixture
def rpc():
    return MemoryShares()


@pytest.fixture
def servers():
    found = conductor.MemoryServers()
    found.instance = factories.make_instance(
        vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN, shares=(MAPPING,)
    )
    return found


@pytest.fixture
def ask(ask_with, service, rpc, servers):
    somebody = ask_with(share_service=UserShareClient(service), shares=rpc, servers=servers)

    def send(method, rest="", body=None, *, version=97, roles=MEMBER):
        path = f"/v2.1/servers/{SERVER}/shares{rest}"
        asked = None if body is None else {"share": body}
        return somebody(method, path, asked, version=version, roles=roles)

    return send


def test_what_is_shown_of_shares(ask):
    plain = {"share_id": HELD, "status": "inactive", "tag": "data"}

    assert ask("GET").json == {"shares": [plain]}
    assert ask("GET", roles=ADMIN).json == {"shares": [plain]}
    assert ask("GET", f"/{HELD}").json == {"share": plain}
    assert ask("GET", f"/{HELD}", roles=ADMIN).json == {
        "share": plain | {"uuid": MAPPING.uuid, "export_location": "nas:/held"}
    }
    assert ask("GET", version=96).status_code == 404


@pytest.mark.parametrize("status", list(ShareStatus))
def test_a_share_is_active_while_its_guest_is_on(ask, servers, status):
    mapping = msgspec.structs.replace(MAPPING, status=status)
    servers.instance = msgspec.structs.replace(
        servers.instance, power_state=PowerState.RUNNING, shares=(mapping,)
    )

    shown = "active" if status == "inactive" else status

    assert ask("GET").json["shares"][0]["status"] == shown
    assert ask("GET", f"/{HELD}").json["share"]["status"] == shown


def test_attaching_hands_on_what_the_user_may_see_of_the_share(ask, service, rpc):
    answer = ask("POST", body={"share_id": NEW, "tag": "logs"})

    assert answer.status_code == 201
    assert answer.json == {"share": {"share_id": NEW, "status": "attaching", "tag": "logs"}}
    share = Share(
        id=NEW, status="available", protocol="NFS", size_gib=1, export_location="nas:/new"
    )
    assert rpc.asked == [("attach", SERVER, share, "logs")]
    assert service.tokens == {TOKEN}


def test_an_administrator_sees_where_a_new_share_is(ask):
    answer = ask("POST", body={"share_id": NEW}, roles=ADMIN)

    assert answer.json["share"] == {
        "share_id": NEW, "status": "attaching", "tag": NEW, "uuid": MAPPING.uuid,
        "export_location": "nas:/new",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refused("policy", status=403), 404),
        (Refused("none", status=404), 404),
        (Unavailable(service="The shared-file-system service"), 503),
    ],
)
def test_a_share_that_the_user_cannot_see_is_not_attached(ask, service, rpc, refusal, status):
    service.refusal = refusal

    assert ask("POST", body={"share_id": NEW}).status_code == status
    assert rpc.asked == []


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (ShareInUse(instance=SERVER, share=NEW, tag=NEW), 409),
        (InstanceInvalidState(operation="create share", instance=SERVER, attribute="vm_state",
                              state="active"), 409),
    ],
)  # fmt: skip
def test_what_the_conductor_refuses_is_refused(ask, rpc, refusal, status):
    rpc.refusal = refusal

    answer = ask("POST", body={"share_id": NEW})

    assert answer.status_code == status
    assert str(refusal) in answer.text


def test_detaching_names_the_share(ask, rpc):
    answer = ask("DELETE", f"/{HELD}")

    assert (answer.status_code, answer.text) == (200, "")
    assert rpc.asked == [("detach", SERVER, HELD)]
    rpc.refusal = ShareNotFound(share=NOWHERE)
    assert ask("DELETE", f"/{NOWHERE}").status_code == 404


def test_a_share_that_the_server_does_not_have_is_not_found(ask):
    assert ask("GET", f"/{NOWHERE}").status_code == 404


@pytest.mark.parametrize(("method", "rest"), [("POST", ""), ("DELETE", f"/{HELD}")])
def test_readers_only_read(ask, rpc, method, rest):
    answer = ask(method, rest, {"share_id": NEW} if method == "POST" else None, roles="reader")

    assert answer.status_code == 403
    assert rpc.asked == []
    assert ask("GET", roles="reader").status_code == 200

# SPDX-License-Identifier: Apache-2.0
"""The share client meets a service that takes its time, refuses, and serves several hosts."""

import json

import pytest
import requests

from common.clients.session import Refused
from common.clients.share import ShareClient, UserShareClient
from common.errors import InvalidShare, ShareNotFound, Unavailable

HOST, OTHER = "10.0.0.10", "10.0.0.1"


class Service:
    """A share service with one share. A rule shows `states` one after the other, then the last."""

    def __init__(self, *states, protocol="NFS"):
        self.states, self.protocol = states or ("active",), protocol
        self.rules, self.locks, self.asked = {}, {}, []
        self.refusal = None
        self.exports = [{"path": "other:/s"}, {"path": "best:/s", "preferred": True}]

    def request(self, kind, version, method, path, *, token=None, **options):
        assert (kind, version) == ("shared-file-system", "v2")
        self.asked.append(f"{method} {path}")
        body, params = options.get("json") or {}, options.get("params") or {}
        answer = requests.Response()
        answer.status_code = 200
        answer._content = json.dumps(self._answer(method, path, body, params)).encode()
        return answer

    def _answer(self, method, path, body, params):
        if self.refusal and self.refusal[0] in f"{method} {path} {body}":
            raise Refused("No.", status=self.refusal[1])
        if path == "/shares/s":
            return {"share": {"id": "s", "status": "available", "share_proto": self.protocol,
                              "project_id": "p", "size": 3}}  # fmt: skip
        if path == "/shares/s/export_locations":
            return {"export_locations": self.exports}
        if path == "/share-access-rules":
            shown = [self._shown(rule) for rule in list(self.rules.values())]
            return {"access_list": [rule for rule in shown if rule["state"] != "gone"]}
        if path == "/resource-locks" and method == "GET":
            assert params["resource_id"] == "s"
            return {"resource_locks": list(self.locks.values())}
        if path == "/resource-locks":
            lock = {**body["resource_lock"], "id": f"l{len(self.asked)}", "lock_context": "service"}
            self.locks[lock["id"]] = lock
            return {"resource_lock": lock}
        if method == "DELETE":
            del self.locks[path.rpartition("/")[2]]
            return None
        if "allow_access" in body:
            rule = {**body["allow_access"], "id": f"r{len(self.asked)}", "states": [*self.states]}
            self.rules[rule["id"]] = rule
            return {"access": self._shown(rule)}
        assert body["deny_access"]["unrestrict"]
        del self.rules[body["deny_access"]["access_id"]]
        return None

    def _shown(self, rule):
        state = rule["states"].pop(0) if len(rule["states"]) > 1 else rule["states"][0]
        if state == "gone":
            del self.rules[rule["id"]]
        return {**rule, "state": state}


class Time:
    """Time that goes on while somebody pauses."""

    def __init__(self):
        self.now_s, self.pauses = 0.0, 0

    def monotonic(self):
        return self.now_s

    def pause(self, seconds):
        self.now_s += seconds
        self.pauses += 1


def client_of(service):
    time = Time()
    return ShareClient(service, 10, clock=time, pause=time.pause), time


def test_a_share_is_mounted_from_its_preferred_place():
    share = client_of(Service())[0].get("s")

    assert (share.export_location, share.protocol, share.size_gib) == ("best:/s", "NFS", 3)


def test_a_share_may_have_no_place_yet():
    service = Service()
    service.exports = []

    assert client_of(service)[0].get("s").export_location is None


def test_access_is_there_when_its_rule_is_active():
    service = Service("queued_to_apply", "applying", "active")
    client, time = client_of(service)

    rule = client.allow("s", HOST)

    made = service.rules[rule]
    assert (made["access_type"], made["access_to"], made["access_level"]) == ("ip", HOST, "rw")
    assert made["lock_visibility"] is made["lock_deletion"] is True
    assert time.pauses == 2
    assert client.allow("s", HOST) == rule
    assert len(service.rules) == len(service.locks) == 1


def test_a_rule_that_is_going_is_made_again():
    service = Service("active")
    going = {"id": "old", "access_type": "ip", "access_to": HOST, "states": ["denying"] * 2}
    service.rules["old"] = going
    client, time = client_of(service)

    client.deny("s", HOST)
    assert "POST /shares/s/action" not in service.asked
    going["states"].append("gone")

    assert list(service.rules) == ["old"]
    assert client.allow("s", HOST) != "old"
    assert time.pauses == 1


def test_access_that_does_not_come_in_time_is_unavailable():
    client, time = client_of(Service("applying"))

    with pytest.raises(Unavailable, match="its access rule is applying"):
        client.allow("s", HOST)
    assert time.now_s == 10


def test_access_that_the_service_cannot_give_is_final():
    with pytest.raises(InvalidShare, match=f"{HOST} was not let in"):
        client_of(Service("applying", "error"))[0].allow("s", HOST)


def test_a_refusal_has_the_services_reason():
    service = Service()
    service.refusal = ("allow_access", 400)

    with pytest.raises(InvalidShare, match="No."):
        client_of(service)[0].allow("s", HOST)


def test_denying_takes_away_the_hosts_own_rule_and_lock():
    service = Service()
    client, _ = client_of(service)
    client.allow("s", HOST)
    other = client.allow("s", OTHER)

    client.deny("s", HOST)
    client.deny("s", HOST)

    assert list(service.rules) == [other]
    assert [lock["lock_reason"].split()[-1] for lock in service.locks.values()] == [OTHER]


def test_the_last_host_takes_away_the_rule_that_all_have():
    service = Service(protocol="CEPHFS")
    client, _ = client_of(service)
    rule = client.allow("s", HOST)
    assert client.allow("s", OTHER) == rule
    assert (service.rules[rule]["access_type"], service.rules[rule]["access_to"]) == (
        "cephx", "nova",
    )  # fmt: skip

    client.deny("s", HOST)
    assert list(service.rules) == [rule]
    client.deny("s", OTHER)

    assert (service.rules, service.locks) == ({}, {})


def test_locks_of_others_are_left_alone():
    service = Service()
    client, _ = client_of(service)
    client.allow("s", HOST)
    [reason] = [lock["lock_reason"] for lock in service.locks.values()]
    service.locks["theirs"] = {"id": "theirs", "lock_reason": reason, "lock_context": "user"}
    service.locks["other"] = {"id": "other", "lock_reason": None, "lock_context": "admin"}

    client.deny("s", HOST)

    assert list(service.locks) == ["theirs", "other"]


def test_a_share_that_is_gone():
    service = Service()
    service.refusal = ("/shares/s", 404)
    client, _ = client_of(service)

    client.deny("s", HOST)
    with pytest.raises(ShareNotFound, match="Share s could not be found"):
        client.allow("s", HOST)


def test_to_a_user_a_share_of_others_is_not_there():
    service = Service()
    service.refusal = ("/shares/s", 403)

    with pytest.raises(ShareNotFound):
        UserShareClient(service).get("token", "s")

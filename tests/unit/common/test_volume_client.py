# SPDX-License-Identifier: Apache-2.0
"""The volume client meets volumes that change while it looks at them."""

import json

import pytest
import requests

from common.clients.session import Refused
from common.clients.volume import VolumeClient
from common.errors import InvalidVolume


class Service:
    """A volume service whose volume has these statuses, one after the other."""

    def __init__(self, *statuses):
        self.statuses, self.shown = list(statuses), []

    def project_id(self):
        return "p"

    def request(self, type_, version, method, path, **options):
        status = self.statuses[0]
        if len(self.statuses) > 1:
            self.statuses.pop(0)
        if method == "POST" and status != "in-use":
            raise Refused("Invalid volume: status", status=400)
        answer = requests.Response()
        answer.status_code = 200
        answer._content = json.dumps({"volume": {"id": "v", "status": status, "size": 1}}).encode()
        self.shown.append((method, status))
        return answer


def test_a_volume_that_another_instance_has_just_let_go_is_detached_as_well():
    service = Service("detaching", "in-use", "in-use")

    VolumeClient(service).begin_detaching("v")

    assert service.shown == [("GET", "in-use"), ("POST", "in-use")]


def test_a_volume_that_is_being_detached_is_left_alone():
    service = Service("detaching")

    VolumeClient(service).begin_detaching("v")

    assert service.shown == [("GET", "detaching")]


def test_a_volume_that_nobody_has_cannot_be_detached():
    with pytest.raises(InvalidVolume):
        VolumeClient(Service("available")).begin_detaching("v")

# SPDX-License-Identifier: Apache-2.0
"""`/os-volumes_boot`: servers by another name, up to 2.102."""

import pytest

from tests import factories

_ONE = f"/v2.1/os-volumes_boot/{factories.INSTANCE}"


@pytest.mark.parametrize("path", ["/v2.1/os-volumes_boot", "/v2.1/os-volumes_boot/detail", _ONE])
def test_the_old_name_ends_with_2_102(ask, path):
    assert ask("GET", path, version=102).status_code == 200
    assert ask("GET", path, version=103).status_code == 404


def test_links_have_the_new_name(ask):
    answer = ask("GET", "/v2.1/os-volumes_boot?limit=1", version=102).json

    assert answer["servers_links"][0]["href"] == (
        f"http://falconframework.org/v2.1/servers?limit=1&marker={factories.INSTANCE}"
    )
    assert "/v2.1/servers/" in answer["servers"][0]["links"][0]["href"]


def test_few_actions_go_by_the_old_name(ask):
    start, pause = {"os-start": None}, {"pause": None}

    assert ask("POST", f"{_ONE}/action", start, version=102).status_code == 202
    assert ask("POST", f"{_ONE}/action", start, version=103).status_code == 404
    assert ask("POST", f"{_ONE}/action", pause, version=102).status_code == 400


def test_an_action_that_came_later_is_not_there_before(ask):
    dump = {"trigger_crash_dump": None}

    assert ask("POST", f"{_ONE}/action", dump, version=16).status_code == 404

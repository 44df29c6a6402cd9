# SPDX-License-Identifier: Apache-2.0
"""What operators read of servers, and what they read when there is no API."""

import pytest

from tests.functional.cli.shell import Shell

pytestmark = pytest.mark.functional


def test_a_server_says_where_it_is_and_what_was_done_to_it(admin, boot):
    server = boot("web")

    shown = admin.data("server", "show", server)
    listed = admin.data("server", "list", "-a", "--host", shown["host"])

    assert (shown["status"], shown["why"], shown["power"]) == ("ACTIVE", None, "running")
    assert shown["host"].startswith("fake")
    assert shown["last_action"] == "create"
    assert shown["events"][-1]["result"] == "Success"
    assert [(s["id"], s["name"]) for s in listed] == [(server, "web")]


def test_an_administrator_finds_a_server_of_any_project_by_its_name(admin, cloud, boot):
    server = boot("tricky (1")

    assert admin.data("server", "show", "tricky (1")["id"] == server
    assert Shell(cloud, "demo").data("server", "show", "tricky (1")["id"] == server
    for shell in (admin, Shell(cloud, "demo")):
        code, line = shell.refused("server", "show", "tricky")
        assert (code, "No server with id or name tricky." in line) == (3, True)


def test_the_configuration_that_runs_this_cloud_passes_the_check(admin, cloud):
    assert admin.data("config", "check", "--config-file", str(cloud.config_file)) == []


def test_a_server_without_a_host_says_why(admin, cloud, boot):
    cloud.connect("admin").compute.create_flavor(name="huge", ram=2**22, vcpus=1, disk=1)
    server = boot("big", "huge", "ERROR")

    why = admin.data("server", "show", server)["why"]

    assert "No valid host was found. 3 hosts; 3 without 4194304 MiB of free memory" in why


def test_without_the_api_the_exit_code_is_5(admin, cloud):
    cloud.stop("api")
    try:
        code, line = admin.refused("service", "list")
    finally:
        cloud.start("api")

    assert code == 5
    assert str(cloud.ports["api"]) in line


def test_a_server_that_does_not_exist_is_3(admin):
    assert admin.refused("server", "show", "nobody")[0] == 3

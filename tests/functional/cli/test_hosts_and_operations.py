# SPDX-License-Identifier: Apache-2.0
"""What operators read and do of services, hosts, operations and daemons."""

import json

import pytest

from tests.functional.cli.shell import Shell
from tests.functional.rabbitmq import wait_until

pytestmark = pytest.mark.functional


def test_status_lists_every_daemon_healthy_with_its_latency(admin):
    wait_until(lambda: admin.run("status").returncode == 0, "every daemon is healthy")

    daemons = admin.data("status")

    assert {d["daemon"] for d in daemons} >= {
        "nova-conductor", "nova-scheduler", "nova-compute", "kilonova-metadata", "kilonova-api",
    }  # fmt: skip
    assert all(d["healthy"] and d["latency_ms"] > 0 and d["pid"] for d in daemons)


def test_services_are_disabled_with_a_reason_and_enabled_again(admin):
    disabled = admin.data("service", "disable", "fake1", "--reason", "new disk")
    listed = admin.data("service", "list", "--host", "fake1")
    enabled = admin.data("service", "enable", disabled["id"])

    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "new disk")
    assert [s["status"] for s in listed] == ["disabled"]
    assert (enabled["status"], enabled["disabled_reason"]) == ("enabled", None)


def test_a_host_is_forced_down_and_released(admin):
    down = admin.data("service", "force-down", "fake1")
    released = admin.data("service", "force-down", "fake1", "--unset")

    assert (down["forced_down"], down["state"]) == (True, "down")
    assert (released["forced_down"], released["state"]) == (False, "up")


def test_a_host_says_what_is_taken_and_who_is_on_it(admin, boot):
    server = boot("web")

    shown = admin.data("server", "show", server)
    host = admin.data("host", "show", shown["host"])

    assert shown["node"] == host["node"]
    assert {"id": server, "name": "web"} in host["servers"]
    assert host["vcpus"]["used"] >= 1


def admin_host(admin: Shell, server: str) -> str:
    host: str = admin.data("server", "show", server)["host"]
    return host


def test_operations_are_listed_and_shown_step_by_step(admin, boot):
    server = boot("op")

    (task,) = admin.data("op", "list", "-a", "--server", server)
    shown = admin.data("op", "show", task["uuid"])

    assert (task["flow"], task["state"]) == ("boot", "done")
    assert all(step["outcome"] for step in shown["steps"])
    assert admin.run("op", "show", task["uuid"]).stdout.count("\n") > len(shown["steps"])
    assert admin.data("op", "list", "--server", server) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["service", "show", "nobody"], 3),
        (["host", "show", "nobody"], 3),
        (["server", "show", "nobody"], 3),
        (["op", "show", "00000000-0000-0000-0000-000000000000"], 3),
    ],
)
def test_what_does_not_exist_is_3_and_one_line(admin, arguments, code):
    assert admin.refused(*arguments)[0] == code


def test_a_host_with_servers_is_not_forgotten(admin, boot):
    host = admin_host(admin, boot("stay"))

    code, line = admin.refused("service", "delete", host)

    assert code == 4
    assert host in line or "instances" in line


def test_what_only_administrators_may_is_5_for_others(cloud):
    assert Shell(cloud, "demo").refused("service", "list")[0] == 5


def test_a_daemon_that_died_makes_status_fail(admin, cloud):
    cloud.stop("metadata")
    try:
        done = admin.run("status", "-f", "json")
        unwell = [d["daemon"] for d in json.loads(done.stdout) if not d["healthy"]]
    finally:
        cloud.start("metadata")

    assert (done.returncode, unwell) == (1, ["kilonova-metadata"])

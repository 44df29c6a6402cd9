# SPDX-License-Identifier: Apache-2.0
"""What projects used, and whose servers are on a host, through real HTTP."""

from datetime import timedelta

import pytest

from common.clock import SystemClock, iso_microseconds

_PERIOD = "start=2020-01-01T00:00:00&end={end}"


@pytest.fixture(scope="module")
def used(cloud):
    """A server that was deleted after it ran, and one that runs."""
    demo = cloud.connect("demo")
    image = next(each for each in demo.image.images() if each.name == "guest")
    made = [
        demo.compute.create_server(name=name, flavor_id="1", image_id=image.id, networks="none")
        for name in ("gone", "there")
    ]
    servers = [demo.compute.wait_for_server(each, interval=0.1) for each in made]
    demo.compute.delete_server(servers[0])
    demo.compute.wait_for_delete(servers[0], interval=0.1)
    yield demo.current_project_id, servers
    demo.compute.delete_server(servers[1])
    demo.compute.wait_for_delete(servers[1], interval=0.1)


@pytest.fixture
def later():
    return _PERIOD.format(end=iso_microseconds(SystemClock().now() + timedelta(hours=2)))


def test_a_project_used_what_its_servers_had_while_they_ran(call, used, later):
    project, (gone, there) = used

    answer = call("GET", f"/os-simple-tenant-usage/{project}?{later}").json()["tenant_usage"]

    each = {server["instance_id"]: server for server in answer["server_usages"]}
    assert each[gone.id]["state"] == "terminated"
    assert each[gone.id]["hours"] < 1 < each[there.id]["hours"]
    assert (each[there.id]["state"], each[there.id]["ended_at"]) == ("active", None)
    hours = sum(server["hours"] for server in answer["server_usages"])
    assert answer["total_hours"] == pytest.approx(hours)
    assert answer["total_memory_mb_usage"] == pytest.approx(
        sum(server["hours"] * server["memory_mb"] for server in answer["server_usages"])
    )


def test_pages_lead_through_all_servers_of_all_projects(call, used, later):
    project, servers = used
    seen, path = [], f"/os-simple-tenant-usage?{later}&detailed=1&limit=1"
    while path:
        page = call("GET", path).json()
        for usage in page["tenant_usages"]:
            seen += [each["instance_id"] for each in usage["server_usages"]]
        links = page.get("tenant_usages_links")
        path = links[0]["href"].partition("/v2.1")[2] if links else None

    assert {server.id for server in servers} <= set(seen)
    assert len(seen) == len(set(seen))


def test_what_is_no_time_or_no_marker_is_refused(call, used, later):
    project, _ = used
    for query in ("start=yesterday", "start=2020-01-02T00:00:00&end=2020-01-01T00:00:00",
                  f"{later}&marker=99999999-9999-4999-8999-999999999999"):  # fmt: skip
        assert call("GET", f"/os-simple-tenant-usage/{project}?{query}").status_code == 400


def test_a_host_says_whose_servers_it_has(call, cloud, used):
    project, (_, there) = used
    host = cloud.connect("admin").compute.get_server(there.id).compute_host

    shown = call("GET", f"/os-hosts/{host}", version="2.42").json()["host"]

    by_project = {each["resource"]["project"]: each["resource"] for each in shown}
    # Not that one is more than the other: a host may be overcommitted.
    assert by_project["(total)"]["cpu"] > 0
    assert by_project["(used_now)"]["cpu"] > 0
    assert by_project[project]["memory_mb"] <= by_project["(used_max)"]["memory_mb"]
    assert call("GET", "/os-hosts/nowhere", version="2.42").status_code == 404
    assert call("GET", f"/os-hosts/{host}", version="2.43").status_code == 404


def test_the_audit_log_counts_the_servers_of_every_host_in_the_month_before(call, cloud, used):
    _, (gone, there) = used
    admin = cloud.connect("admin").compute
    host = admin.get_server(there.id).compute_host
    now = SystemClock().now()
    next_month = (now.replace(day=1) + timedelta(days=32)).strftime("%Y-%m-02 00:00:00")

    log = call("GET", f"/os-instance_usage_audit_log/{next_month}")
    last = call("GET", "/os-instance_usage_audit_log").json()["instance_usage_audit_logs"]

    month = log.json()["instance_usage_audit_log"]
    assert set(month["log"]) == set(last["log"]) == {"fake1", "fake2", "fake3"}
    assert month["total_instances"] == sum(h["instances"] for h in month["log"].values()) >= 2
    assert month["log"][host]["instances"] >= 1
    assert month["period_beginning"] == now.strftime("%Y-%m-01 00:00:00")
    assert (last["total_instances"], last["num_hosts_done"]) == (0, 3)
    assert last["period_ending"] == month["period_beginning"]
